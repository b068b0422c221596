### Çfarë i kthehet një linje raportimi. Tekstet në anglisht gjenden te en.ftl me të
### njëjtët çelësa. Një tekst që fillon me shkronjë të vogël vjen pas emrit të fushës.

## Pse refuzohet një regjistrim: skedari në tërësi

refused-too-large = Skedari është më i madh se 16 MiB; dërgojeni me pjesë.
refused-too-many = Ka më shumë se 100.000 regjistrime; dërgojini me pjesë. Regjistrimet më sipër u lexuan.
refused-empty = Skedari është bosh.
refused-nothing-in-it = Në skedar nuk ka regjistrime.
refused-utf-16 = Skedari është tekst UTF-16, që programet e tabelave e quajnë "Unicode text"; ruajeni si UTF-8, për shembull "CSV UTF-8".
refused-json = Ky nuk është JSON: rreshti { $line }, kolona { $column }.
refused-no-records = Dokumenti duhet të ketë "version": 1 dhe një listë "records", dhe asgjë tjetër.
refused-no-header = Rreshti i parë duhet të emërtojë kolonat, si case_ref, source, category, name, assessed_at.

## Pse refuzohet një regjistrim: regjistrimi

refused-not-utf-8 = Teksti nuk është në UTF-8; ruajeni në atë kodim.
refused-too-long = Regjistrimi është më i gjatë se 16 KiB; një regjistrim nuk mban as përshkrime, as pamje.
refused-not-an-object = Ky nuk është një regjistrim me fusha.
refused-columns = Rreshti ka { $found } qeliza, por kolonat janë { $expected }; vendosni në thonjëza qelizën që përmban ndarësin.
refused-quotes = Një thonjëz hapet dhe nuk mbyllet, ose mbyllet në mes të një qelize.
refused-version = duhet të jetë 1, versioni i formës së regjistrimeve.

## Pse refuzohet një regjistrim: një fushë

refused-missing = mungon.
refused-twice = gjendet dy herë.
refused-unknown = nuk është fushë e një regjistrimi; hiqeni.
refused-unknown-near = nuk është fushë e një regjistrimi; mos e keni fjalën për '{ $near }'?
refused-about-reporter = mund të mbajë të dhëna për personin që raportoi; hiqeni, asgjë për raportuesin nuk duhet të dorëzohet.
refused-about-visitor = mund të mbajë të dhëna për një vizitor; hiqeni, asgjë për vizitorin nuk duhet të dorëzohet.
refused-about-content = përshkruan ose tregon çfarë u pa; hiqeni, nuk ruhen as përshkrime, as pamje.
refused-decided = vendoset në regjistër dhe nuk caktohet nga një regjistrim; hiqeni.
refused-text = duhet të jetë tekst në thonjëza.
refused-yes-or-no = duhet të jetë true ose false; në CSV edhe yes, no, po ose jo.
refused-case-ref = duhet të ketë 1 deri në 64 shkronja, shifra, - _ dhe /, pa pika: nuk duhet të përmbajë një emër.
refused-word = duhet të ketë 1 deri në 32 shkronja të vogla, shifra dhe viza.
refused-reference = duhet të ketë 3 deri në 160 karaktere, pa URL dhe pa adresa e-maili.
refused-class = duhet të jetë legal, operator ose venue.
refused-scope = duhet të jetë exact (vetëm emri) ose subtree (emri dhe gjithçka nën të).
refused-country = duhet të jetë dy shkronja të mëdha, si AL (ISO 3166).
refused-date = duhet të jetë një ditë, e shkruar 2027-03-01, ose një çast me zonën e vet, i shkruar 2027-03-01T10:00:00Z.
refused-not-in-scheme = nuk është në tabelat e skemës; njihen: { $known }.
refused-class-of-source = nuk mund të jetë { $class }: { $source } nuk dorëzon regjistrime për atë listë.
refused-category-of-class = nuk është kategori e listës { $class }; njihen: { $known }.
refused-name-and-url = gjendet pranë një emri; jepni emrin ose URL-në.
refused-no-name = mungon, dhe nuk ka as URL.
refused-address = është adresë; DNS bllokon emra. Kur ka vetëm adresë, jepni URL-në, dhe rasti kthehet për njoftim dhe heqje.
refused-url-as-name = është URL, ose ka shteg apo portë; vendoseni te fusha 'url'.
refused-single-label = nuk ka pikë: është një fjalë e vetme ose një domen i nivelit më të lartë.
refused-pattern = përmban *; shkruajeni emrin pa të, shtrirjen e tregon fusha scope.
refused-not-a-name = nuk është emër domeni.
refused-url = nuk është URL me emër serveri, si https://name.example/page.

## Pse një rast kthehet vetëm për njoftim dhe heqje

takedown-not-dedicated = Askush nuk ka vërtetuar se i gjithë domeni i kushtohet kësaj. Bllokimi do të hiqte edhe gjithçka tjetër në të. Kërkojini ofruesit të hostimit ta heqë faqen; nëse i gjithë domeni nuk shërben për asgjë tjetër, dërgojeni rastin përsëri me dedicated_attestation.
takedown-address = Faqja arrihet me adresë dhe jo me emër, prandaj DNS nuk mund ta bllokojë. Kërkojini ofruesit të hostimit të asaj adrese ta heqë.
takedown-category = Kategoria '{ $category }' është në fushën e linjës së raportimit, por nuk është arsye për të bllokuar një emër për të gjithë. Kërkojini ofruesit të hostimit ta heqë.
takedown-public-suffix = Nën këtë emër kanë emrat e tyre shumë njerëz që nuk kanë lidhje me njëri-tjetrin. Bllokimi do t'i bllokonte të gjithë. Drejtojuni ofruesit të hostimit ose regjistruesit të asaj faqeje.
takedown-shared-host = Emri i përket { $suffix }, ku një kompani u jep emra klientëve të saj. Kompania mund ta heqë menjëherë; kërkojani asaj.
takedown-special-use = Ky emër ka kuptim për kompjuterët dhe rrjetet dhe nuk është faqe; nuk mund të bllokohet.
takedown-protected = { $name } është i mbrojtur ({ $group }); bllokimi do të dëmtonte shumë më tepër njerëz sesa do të ndihmonte. Kërkojini operatorit të tij ta heqë faqen.
takedown-above-protected = Bllokimi i këtij emri do të bllokonte edhe { $name } ({ $group }). Kërkojini operatorit të tij ta heqë faqen.
takedown-top-site = { $name } është një nga faqet më të vizituara në botë. Operatori i saj ka një zyrë për raportime të tilla; kërkojini ta heqë faqen.

## Pse refuzohet një regjistrim: krahas atyre që kanë ardhur më parë

refused-conflict = Me këtë numër ka ardhur një regjistrim tjetër, për një emër, shtrirje ose listë tjetër. Asgjë nuk u ndryshua; dërgojeni këtë me një numër të vetin.
refused-future = Data { $date } është në të ardhmen; kontrolloni regjistrimin dhe orën e këtij kompjuteri.
refused-gone-before = Është vlerësuar më { $assessed } dhe nuk mund të ishte hequr që më { $seen }; kontrolloni datat.

## Raporti i një pranimi

intake-title = Pranimi i { $file }
intake-title-check = Kontrolli i { $file }
intake-one-record = 1 regjistrim
intake-records = { $count } regjistrime
intake-new = të reja, presin shqyrtimin
intake-new-check = mund të pranohen si raste
intake-removed = hequr te burimi: mbyllen dhe dalin nga lista me publikimin e ardhshëm
intake-returned = vetëm për njoftim dhe heqje: kthehen te linja e raportimit
intake-returned-known = vetëm për njoftim dhe heqje, si më parë
intake-known = të njohura tashmë
intake-gone = hequr tashmë te burimi: nuk ka çfarë të bllokohet
intake-refused = refuzohen
intake-heading-takedown = Vetëm për njoftim dhe heqje
intake-heading-refused = Të refuzuara
intake-heading-closed = Të njohura dhe të mbyllura
intake-heading-beside = Raste të tjera për këta emra
intake-still-blocked = , të cilin ende e bllokon
intake-closed-again = Nëse ndonjë prej tyre duhet përsëri, dërgojeni me një numër të ri.
intake-no-number = pa një numër që mund të lexohet
intake-line = rreshti { $number }
intake-record = regjistrimi { $number }

## Ku ndodhet një rast

state-reported = raportuar
state-assessed = vlerësuar
state-classified = klasifikuar
state-approved = miratuar
state-listed = në listë
state-appealed = ankimuar
state-expired = skaduar
state-removed = hequr te burimi
state-delisted = hequr nga lista
state-rejected = refuzuar
state-withdrawn = tërhequr
lies-same = i njëjti emër
lies-same-alone = i njëjti emër, pa ata nën të
lies-above = një emër më sipër, me gjithçka nën të
lies-below = një emër më poshtë

## Çfarë është një emër i mbrojtur: grupet e protected.txt

group-government = institucion shtetëror
group-helpline-or-child-protection = linjë ndihme ose mbrojtje e fëmijëve
group-bank-or-payment = bankë ose pagesë
group-certificate-authority = autoritet certifikimi
group-captive-portal-check = kontroll i hyrjes në një Wi-Fi
group-updates-of-systems-and-security-software = përditësime të sistemeve dhe të programeve të sigurisë
group-root-of-the-internet = rrënja e Internetit
group-time-server = server i orës
group-network-many-sites-share = rrjet që e përdorin shumë faqe
group-major-platform = platformë e madhe
