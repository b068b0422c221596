# Texts of the stop page, in English. A ten-year-old has to understand them.
# The program puts values where { $... } stands; everything else may be changed.
#
#   $organisation   who blocked it, from the scheme profile
#   $report         where to report something, from the scheme profile
#   $code           the number of the page that somebody saw
#   $days           working days until there is an answer

title = This site is blocked
calm = You did nothing wrong.

# Why: `why-CATEGORY` where there is one, `why` otherwise. What the law lists is
# always told as `why`, so that the page does not say on which list a site stands.
why = This Wi-Fi blocks sites that can hurt children.
why-adult = This site is for adults only. This Wi-Fi is for everyone, children too.
why-gambling = This site is for playing with money, for adults only. This Wi-Fi is for everyone, children too.
why-malware = This site can harm your phone or computer.
why-phishing = This site pretends to be another one, to get your password or your money.

help-title = Need help?
help-trust = You can also talk to an adult you trust.
report = Saw something that worried you? Report it at { $report }

appeal-title = Think this is a mistake?
appeal = Ask for a review. Tell us which site you wanted to open:
appeal-site = Address of the site
appeal-button = Ask for review
appeal-privacy = We keep only the address of the site, the number and the day. We do not keep who asked.
appeal-mail = Think this is a mistake? Write to us:
appeal-wrong = This does not look like the address of a site. Write it like this: site.example
appeal-ok-title = We got your request
appeal-ok = Your number: { $code }. The answer comes within { $days } working days.
appeal-ask = To get the answer, write with your number to:
appeal-full = We cannot take your request right now. Try again in a few minutes.
back = Go back

privacy = We do not keep a record of who opened this page.
who = Blocked by: { $organisation }. Code: { $code }

# The report of a quarter (`friendly-resolver report`).
#
#   $quarter   as in 2026-Q4
#   $least     counts below it are left out

quarter-title = How often the Wi-Fi has blocked: { $quarter }
quarter-intro = Each number is how many requests the Wi-Fi blocked. One visit makes several requests.
quarter-privacy = We do not keep who it was and which site they wanted. Numbers below { $least } in an hour or a day are not counted; the others are rounded down to tens.
quarter-none = There are no numbers to show for this quarter.
quarter-open = This quarter is not over yet.
quarter-denied = blocked by the network itself
quarter-no-policy = all others
quarter-hotspot = Network
quarter-category = Category
quarter-total = Total
quarter-chart = By category and month
quarter-table = By network
