### What goes back to a hotline. The Albanian texts stand in sq.ftl under the same
### keys. A text that begins with a small letter follows the name of a field.

## Why a record is refused: the input as a whole

refused-too-large = The file is larger than 16 MiB; send it in parts.
refused-too-many = There are more than 100,000 records; send them in parts. The records above were read.
refused-empty = There is nothing in the file.
refused-nothing-in-it = There are no records in it.
refused-utf-16 = The file is UTF-16 text, which spreadsheets call "Unicode text"; save it as UTF-8, such as "CSV UTF-8".
refused-json = This is not JSON: line { $line }, column { $column }.
refused-no-records = The document needs "version": 1 and a list "records", and nothing else.
refused-no-header = The first line has to name the columns, such as case_ref, source, category, name, assessed_at.

## Why a record is refused: the record

refused-not-utf-8 = The text is not in UTF-8; save it in that encoding.
refused-too-long = The record is longer than 16 KiB; a record holds no descriptions and no pictures.
refused-not-an-object = This is not a record with fields.
refused-columns = The line has { $found } cells, but there are { $expected } columns; put quotes around a cell that holds the separator.
refused-quotes = A quote is opened and never closed, or closed in the middle of a cell.
refused-version = has to be 1, the version of the form of records.

## Why a record is refused: a field

refused-missing = is missing.
refused-twice = stands there twice.
refused-unknown = is not a field of a record; take it out.
refused-unknown-near = is not a field of a record; is '{ $near }' meant?
refused-about-reporter = may hold data about the person who reported; take it out, nothing about a reporter may be handed over.
refused-about-visitor = may hold data about a visitor; take it out, nothing about a visitor may be handed over.
refused-about-content = describes or shows what was seen; take it out, no descriptions and no pictures are kept.
refused-decided = is decided in the ledger and cannot be set by a record; take it out.
refused-text = has to be a text in quotes.
refused-yes-or-no = has to be true or false; in CSV also yes, no, po or jo.
refused-case-ref = has to be 1 to 64 letters, digits, - _ and /, without dots: it must not hold a name.
refused-word = has to be 1 to 32 small letters, digits and hyphens.
refused-reference = has to be 3 to 160 characters, without URLs and e-mail addresses.
refused-class = has to be legal, operator or venue.
refused-scope = has to be exact (the name alone) or subtree (the name and all below it).
refused-country = has to be two capital letters, such as AL (ISO 3166).
refused-date = has to be a day, written 2027-03-01, or a moment with its zone, written 2027-03-01T10:00:00Z.
refused-not-in-scheme = is not in the tables of the scheme; known are: { $known }.
refused-class-of-source = cannot be { $class }: { $source } hands over no records for that list.
refused-category-of-class = is not a category of the list { $class }; known are: { $known }.
refused-name-and-url = stands beside a name; give the name or the URL.
refused-no-name = is missing, and there is no URL either.
refused-address = is an address; DNS blocks names. Where there is only an address, give the URL, and it comes back for notice and takedown.
refused-url-as-name = is a URL, or has a path or a port; put it into the field 'url'.
refused-single-label = has no dot: it is one word or a whole top-level domain.
refused-pattern = holds a *; write the name without it, and the scope says what is covered.
refused-not-a-name = is not a domain name.
refused-url = is not a URL with a host, such as https://name.example/page.

## Why a case comes back for notice and takedown only

takedown-not-dedicated = Nobody has attested that the whole domain is dedicated to it. Blocking would also take away everything else on it. Ask the host to remove the page; if the whole domain serves nothing else, send the case again with dedicated_attestation.
takedown-address = The page is reached by an address and not by a name, so DNS cannot block it. Ask the host of the address to remove it.
takedown-category = The category '{ $category }' is within the hotline's remit, but is no ground to block a name for everybody. Ask the host to remove it.
takedown-public-suffix = Under this name many people who have nothing to do with each other have their own names. Blocking it would block all of them. Ask the one site's host or registrar.
takedown-shared-host = The name belongs to { $suffix }, where a company gives names to its customers. The company can remove this one at once; ask it.
takedown-special-use = This name means something to computers and networks and is not a site; it cannot be blocked.
takedown-protected = { $name } is protected ({ $group }); blocking it would hurt far more people than it helps. Ask its operator to remove the page.
takedown-above-protected = Blocking this name would also block { $name } ({ $group }). Ask its operator to remove the page.
takedown-top-site = { $name } is one of the most visited sites of the world. Its operator has a desk for such reports; ask it to remove the page.

## Why a record is refused: beside what came in before

refused-conflict = Another record came in under this number, for another name, scope or list. Nothing was changed; send this one under a number of its own.
refused-future = The date { $date } lies in the future; check the record, and the clock of this machine.
refused-gone-before = It was assessed on { $assessed } and cannot have been gone on { $seen } already; check the dates.

## The report of an intake

intake-title = Intake of { $file }
intake-title-check = Check of { $file }
intake-one-record = 1 record
intake-records = { $count } records
intake-new = new, waiting for review
intake-new-check = can become entries
intake-removed = gone at the source: closed, and off the list with the next release
intake-returned = for notice and takedown only: back to the hotline
intake-returned-known = for notice and takedown only, as before
intake-known = known already
intake-gone = gone at the source already: nothing to block
intake-refused = refused
intake-heading-takedown = Notice and takedown only
intake-heading-refused = Refused
intake-heading-closed = Known, and closed
intake-heading-beside = Other cases about these names
intake-still-blocked = , which it still blocks
intake-closed-again = If one of these is needed again, it comes in under a new number.
intake-no-number = without a number that can be read
intake-line = line { $number }
intake-record = record { $number }

## Where a case stands

state-reported = reported
state-assessed = assessed
state-classified = classified
state-approved = approved
state-listed = listed
state-appealed = appealed
state-expired = expired
state-removed = removed
state-delisted = delisted
state-rejected = rejected
state-withdrawn = withdrawn
lies-same = the same name
lies-same-alone = the same name, alone
lies-above = a name above, with all below it
lies-below = a name below

## What a protected name is: the groups of protected.txt

group-government = government
group-helpline-or-child-protection = helpline or child protection
group-bank-or-payment = bank or payment
group-certificate-authority = certificate authority
group-captive-portal-check = captive-portal check
group-updates-of-systems-and-security-software = updates of systems and security software
group-root-of-the-internet = root of the Internet
group-time-server = time server
group-network-many-sites-share = network many sites share
group-major-platform = major platform
