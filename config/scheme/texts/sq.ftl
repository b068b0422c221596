# Texts of the stop page, in Albanian. A ten-year-old has to understand them.
# The program puts values where { $... } stands; everything else may be changed.
#
#   $organisation   who blocked it, from the scheme profile
#   $report         where to report something, from the scheme profile
#   $code           the number of the page that somebody saw
#   $days           working days until there is an answer

title = Kjo faqe është e bllokuar
calm = Ti nuk ke bërë asgjë të gabuar.

# Why: `why-CATEGORY` where there is one, `why` otherwise. What the law lists is
# always told as `why`, so that the page does not say on which list a site stands.
why = Ky Wi-Fi bllokon faqet që mund t'u bëjnë keq fëmijëve.
why-adult = Kjo faqe është vetëm për të rritur. Ky Wi-Fi është për të gjithë, edhe për fëmijët.
why-gambling = Kjo faqe është për lojëra me para, vetëm për të rritur. Ky Wi-Fi është për të gjithë, edhe për fëmijët.
why-malware = Kjo faqe mund të dëmtojë telefonin ose kompjuterin tënd.
why-phishing = Kjo faqe shtiret si një faqe tjetër, që të të marrë fjalëkalimin ose paratë.

help-title = Ke nevojë për ndihmë?
help-trust = Mund të flasësh edhe me një të rritur që i beson.
report = Pe diçka që të shqetësoi? Raportoje te { $report }

appeal-title = Mendon se është gabim?
appeal = Kërko rishikim. Na thuaj cilën faqe doje të hapje:
appeal-site = Adresa e faqes
appeal-button = Kërko rishikim
appeal-privacy = Ruajmë vetëm adresën e faqes, numrin dhe ditën. Nuk ruajmë kush e kërkoi.
appeal-mail = Mendon se është gabim? Na shkruaj:
appeal-wrong = Kjo nuk duket si adresë faqeje. Shkruaje kështu: faqja.example
appeal-ok-title = E morëm kërkesën
appeal-ok = Numri yt: { $code }. Përgjigjja vjen brenda { $days } ditëve pune.
appeal-ask = Për përgjigjen, shkruaj numrin tënd te:
appeal-full = Tani nuk mund ta marrim kërkesën. Provo përsëri pas disa minutash.
back = Kthehu

privacy = Ne nuk e ruajmë kush e hapi këtë faqe.
who = E bllokoi: { $organisation }. Kodi: { $code }

# The report of a quarter (`friendly-resolver report`).
#
#   $quarter   as in 2026-Q4
#   $least     counts below it are left out

quarter-title = Sa herë ka bllokuar Wi-Fi: { $quarter }
quarter-intro = Çdo numër është sa kërkesa bllokoi Wi-Fi. Një vizitë bën disa kërkesa.
quarter-privacy = Nuk ruajmë kush ishte dhe cilën faqe kërkoi. Numrat nën { $least } në një orë ose në një ditë nuk numërohen; të tjerët rrumbullakosen poshtë në dhjetëshe.
quarter-none = Në këtë tremujor nuk ka numra për të treguar.
quarter-open = Ky tremujor nuk ka mbaruar ende.
quarter-denied = bllokuar nga vetë rrjeti
quarter-no-policy = të tjerët
quarter-hotspot = Rrjeti
quarter-category = Kategoria
quarter-total = Gjithsej
quarter-chart = Sipas kategorisë dhe muajit
quarter-table = Sipas rrjetit
