"""Texts: what spreadsheets, shops, banks, registers and databases write."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal as D

from tests.files.corpus.shape import Shape, text

TEXT, INT, DECIMAL, DATE = "{type: str}", "{type: int}", "{type: decimal}", "{type: date}"
GERMAN = '{type: decimal, decimal: ",", group: "."}'
COMMA = '{type: decimal, decimal: ","}'
BLANK_COMMA = '{type: decimal, decimal: ",", group: " "}'
DOTTED = "{type: date, format: DD.MM.YYYY}"
YES_NO_DE = "{type: bool, map: {Ja: true, Nein: false}}"
YES_NO_RU = "{type: bool, map: {Да: true, Нет: false}}"

SPREADSHEETS: list[Shape] = [
    text(
        "Excel, German, CSV (separated): semicolons, Windows text, decimal commas",
        "Kundennummer;Name;Umsatz;Eintritt;Aktiv\n00123;Müller GmbH;1.234,56;31.12.2025;Ja\n"
        "00124;Groß & Söhne;12,00;01.02.2026;Nein\n00125;Älter AG;1.000.000,50;13.05.2019;Ja\n",
        {"kundennummer": TEXT, "name": TEXT, "umsatz": GERMAN, "eintritt": DOTTED, "aktiv": YES_NO_DE},
        [["00123", "Müller GmbH", D("1234.56"), date(2025, 12, 31), True],
         ["00124", "Groß & Söhne", D("12.00"), date(2026, 2, 1), False],
         ["00125", "Älter AG", D("1000000.50"), date(2019, 5, 13), True]],
        encoding="cp1252", end="\r\n", says={"encoding": "cp1252"}, refused="is not valid utf-8",
    ),
    text(
        "Excel, German, CSV UTF-8 with its mark",
        "\ufeffArtikel;Preis;Gültig ab\nStuhl;0,435;01.01.2026\nTisch;435,00;31.01.2026\n",
        {"artikel": TEXT, "preis": COMMA, "gueltig": DOTTED},
        [["Stuhl", D("0.435"), date(2026, 1, 1)], ["Tisch", D("435.00"), date(2026, 1, 31)]],
        end="\r\n", called={"gueltig": "Gültig ab"},
    ),
    text(
        "Excel, German, with sep= in its first line",
        "sep=;\nPLZ;Ort\n01067;Dresden\n80331;München\n",
        {"plz": TEXT, "ort": TEXT},
        [["01067", "Dresden"], ["80331", "München"]], end="\r\n",
    ),
    text(
        "Excel, German, text (separated by tabs), UTF-16",
        "\ufeffName\tGeburtstag\tBetrag\nJürgen\t24.12.1980\t-5,5\nZoë\t29.02.2024\t12,25\n",
        {"name": TEXT, "geburtstag": DOTTED, "betrag": COMMA},
        [["Jürgen", date(1980, 12, 24), D("-5.5")], ["Zoë", date(2024, 2, 29), D("12.25")]],
        file="rows.txt", encoding="utf-16-le", end="\r\n",
    ),
    text(
        "Excel, Russian, CSV: cp1251, semicolons, blanks in numbers",
        "Наименование;Цена;Дата;В наличии\nСтол;1 234,50;31.12.2025;Да\nСтул;12 000,00;01.02.2026;Нет\n",
        {"название": TEXT, "цена": BLANK_COMMA, "дата": DOTTED, "наличие": YES_NO_RU},
        [["Стол", D("1234.50"), date(2025, 12, 31), True], ["Стул", D("12000.00"), date(2026, 2, 1), False]],
        encoding="cp1251", end="\r\n", called={"название": "Наименование", "наличие": "В наличии"},
        says={"encoding": "cp1251"}, refused="is not valid utf-8",
    ),
    text(
        "Excel, Russian, UTF-8: no-break blanks in numbers",
        "\ufeffТовар;Сумма\nЧай;1\u00a0234\u00a0567,89\nКофе;12\u00a0000,00\n",
        {"товар": TEXT, "сумма": BLANK_COMMA},
        [["Чай", D("1234567.89")], ["Кофе", D("12000.00")]], end="\r\n",
    ),
    text(
        "Excel, French: narrow blanks in numbers, dates with slashes",
        "\ufeffClient;Montant;Date\nÉcole;1\u202f234,50;31/12/2025\nMairie;12,00;13/02/2026\n",
        {"client": TEXT, "montant": BLANK_COMMA, "date": "{type: date, format: DD/MM/YYYY}"},
        [["École", D("1234.50"), date(2025, 12, 31)], ["Mairie", D("12.00"), date(2026, 2, 13)]], end="\r\n",
    ),
    text(
        "Excel, English (US): commas in numbers, month first",
        'Customer,Amount,Date\nAcme,"1,234.50",12/31/2025\nBolt,12.00,1/13/2026\n',
        {"customer": TEXT, "amount": '{type: decimal, group: ","}', "date": "{type: date, format: M/D/YYYY}"},
        [["Acme", D("1234.50"), date(2025, 12, 31)], ["Bolt", D("12.00"), date(2026, 1, 13)]], end="\r\n",
    ),
    text(
        "Excel, English: days that could be months",
        "Customer,Due\nAcme,01/02/2026\nBolt,03/04/2026\n",
        {"customer": TEXT, "due": "{type: date, format: DD/MM/YYYY}"},
        [["Acme", date(2026, 2, 1)], ["Bolt", date(2026, 4, 3)]], end="\r\n",
    ),
    text(
        "Excel, Swiss: apostrophes in numbers",
        "Konto;Saldo\n1000;1'234.50\n1020;2’000’000.05\n",
        {"konto": INT, "saldo": "{type: decimal, group: \"'\"}"},
        [[1000, D("1234.50")], [1020, D("2000000.05")]],
    ),
    text(
        "Excel: long ids that it turned into powers of ten",
        "Order;Barcode\nA1;4,00638E+12\nA2;4006381333931\n",
        {"order": TEXT, "barcode": TEXT},
        ["!4,00638E+12", ["A2", "4006381333931"]],
    ),
    text(
        "Excel: codes that it turned into dates",
        "Part,Size\nP1,10-12\nP2,12-Oct\n",
        {"part": TEXT, "size": "{type: str, pattern: '[0-9]+-[0-9]+'}"},
        [["P1", "10-12"], "!12-Oct"],
    ),
    text(
        "Excel: errors of formulas in cells",
        "Name,City\nAnn,#N/A\nBob,Oslo\nCid,#REF!\n",
        {"name": TEXT, "city": TEXT},
        ["!#N/A", ["Bob", "Oslo"], "!#REF!"], end="\r\n",
    ),
    text(
        "Excel: zeros kept by formulas",
        'Id,Name\n="00123",Ann\n="00124",Bob\n',
        {"id": TEXT, "name": TEXT},
        [["00123", "Ann"], ["00124", "Bob"]], end="\r\n",
    ),
    text(
        "Excel: rows of nothing but delimiters at the end",
        "Id,Name\n1,Ann\n2,Bob\n,\n,\n,\n",
        {"id": INT, "name": TEXT},
        [[1, "Ann"], [2, "Bob"]], end="\r\n",
    ),
    text(
        "LibreOffice: every cell quoted, line breaks in cells",
        '"Id","Notiz"\n"1","erste\nzweite"\n"2","er sagte ""ja"""\n',
        {"id": INT, "notiz": TEXT},
        [[1, "erste\nzweite"], [2, 'er sagte "ja"']],
    ),
    text(
        "LibreOffice, German: true and false in words",
        "Name;Aktiv\nAnna;WAHR\nBernd;FALSCH\n",
        {"name": TEXT, "aktiv": "{type: bool, map: {WAHR: true, FALSCH: false}}"},
        [["Anna", True], ["Bernd", False]],
    ),
    text(
        "Google Sheets: commas, TRUE and FALSE, ISO dates",
        'Name,Subscribed,Joined,Tags\nAnn,TRUE,2026-01-31,"a, b"\nBob,FALSE,2024-02-29,c\n',
        {"name": TEXT, "subscribed": "{type: bool}", "joined": DATE, "tags": '{type: list, split: ","}'},
        [["Ann", True, date(2026, 1, 31), ["a", "b"]], ["Bob", False, date(2024, 2, 29), ["c"]]], end="\r\n",
    ),
    text(
        "Numbers on a Mac: carriage returns alone",
        "Nom;Âge\nZoé;30\nLéa;31\n",
        {"nom": TEXT, "âge": INT},
        [["Zoé", 30], ["Léa", 31]], end="\r",
    ),
    text(
        "An old Mac: its own encoding",
        "Straße;Ort\nHauptstraße;Köln\nGrüner Weg;Lübeck\n",
        {"straße": TEXT, "ort": TEXT},
        [["Hauptstraße", "Köln"], ["Grüner Weg", "Lübeck"]],
        encoding="mac-roman", end="\r", says={"encoding": "mac-roman"}, refused="is not valid utf-8",
    ),
]  # fmt: skip

OFFICES: list[Shape] = [
    text(
        "1C: title lines above the header",
        "Отчёт по контрагентам;;\nПериод: декабрь 2025;;\n\nКонтрагент;ИНН;Оборот\nООО Ромашка;7701234567;1 234,50\n"
        "ИП Ким;500100732259;12 000,00\n",
        {"контрагент": TEXT, "инн": TEXT, "оборот": BLANK_COMMA},
        [["ООО Ромашка", "7701234567", D("1234.50")], ["ИП Ким", "500100732259", D("12000.00")]],
        encoding="cp1251", end="\r\n", says={"encoding": "cp1251", "header_row": 4}, refused="is not valid utf-8",
    ),
    text(
        "1C: an old export in cp866",
        "Товар;Цена\nХлеб;45,00\nМолоко;89,90\n",
        {"товар": TEXT, "цена": COMMA},
        [["Хлеб", D("45.00")], ["Молоко", D("89.90")]],
        encoding="cp866", end="\r\n", says={"encoding": "cp866"}, refused="is not valid utf-8",
    ),
    text(
        "SAP: dates without dots, minus behind, bars",
        "MATNR|WERKS|MENGE|BUDAT\n000000000000012345|1000|12.000|20260131\n000000000000012346|1000|7.500|20260228\n",
        {"matnr": TEXT, "werks": TEXT, "menge": DECIMAL, "budat": "{type: date, format: YYYYMMDD}"},
        [["000000000000012345", "1000", D("12.000"), date(2026, 1, 31)],
         ["000000000000012346", "1000", D("7.500"), date(2026, 2, 28)]], file="export.txt",
    ),
    text(
        "SAP: a list with lines drawn around it",
        "|MATNR|MENGE|\n|-----|-----|\n|A1|12|\n|A2|7|\n",
        {"matnr": TEXT, "menge": INT},
        ["!a line of dashes", ["A1", 12], ["A2", 7]],
    ),
    text(
        "A bank: preamble, semicolons, dates of two digits",
        "Kontoumsätze;Girokonto;\nStand;31.01.26;\n\nBuchungstag;Empfänger;Betrag\n30.01.26;Stadtwerke;-89,90\n"
        "31.01.26;Gehalt;2.500,00\n",
        {"buchungstag": "{type: date, format: DD.MM.YY, first_year: 1970}", "empfänger": TEXT, "betrag": GERMAN},
        [[date(2026, 1, 30), "Stadtwerke", D("-89.90")], [date(2026, 1, 31), "Gehalt", D("2500.00")]],
        says={"header_row": 4}, refused="its columns are not those of the pipeline",
    ),
    text(
        "A bank: a line of sums at the end",
        "Buchungstag;Betrag\n30.01.2026;-89,90\n31.01.2026;2.500,00\nSumme;2.410,10\n",
        {"buchungstag": DOTTED, "betrag": GERMAN},
        [[date(2026, 1, 30), D("-89.90")], [date(2026, 1, 31), D("2500.00")]],
        says={"skip_footer": 1},
    ),
    text(
        "A shop: gross prices with the currency",
        "SKU,Price\nA-1,19.99\nA-2,€ 5.00\n",
        {"sku": TEXT, "price": DECIMAL},
        [["A-1", D("19.99")], "!must be a decimal number"],
    ),
    text(
        "A web shop: lists in cells, empty cells",
        "sku,categories,weight\nA-1,Home;Kitchen,1.5\nA-2,,\n",
        {"sku": TEXT, "categories": '{type: list, split: ";", optional: true}',
         "weight": "{type: decimal, optional: true}"},
        [["A-1", ["Home", "Kitchen"], D("1.5")], ["A-2", None, None]],
    ),
    text(
        "A CRM: telephone numbers in many ways",
        "Kontakt;Telefon\nAnna;030/123456\nBernd;+49 (0)30 123456\nCarl;0049 30 123456\n",
        {"kontakt": TEXT, "telefon": "{type: phone, region: DE}"},
        [["Anna", "+4930123456"], ["Bernd", "+4930123456"], ["Carl", "+4930123456"]],
    ),
    text(
        "A CRM: other names for the columns",
        "E-Mail,First name,Country\na@b.de,Ann,Germany\nc@d.fr,Bob,France\n",
        {"email": r"{type: str, pattern: '[^@\s]+@[^@\s]+'}", "firstName": TEXT,
         "country": "{type: str, map: {Germany: DE, France: FR}}"},
        [["a@b.de", "Ann", "DE"], ["c@d.fr", "Bob", "FR"]],
        called={"email": "E-Mail", "firstName": "First name"},
    ),
    text(
        "A newsletter: blanks around values, no-break and zero-width ones within",
        "email,name\n a@b.de ,Ann\u00a0Lee\n\u200bc@d.de,Bob\n",
        {"email": r"{type: str, trim: true, pattern: '[^@\s]+@[^@\s]+'}", "name": TEXT},
        [["a@b.de", "Ann\u00a0Lee"], ["c@d.de", "Bob"]],
    ),
    text(
        "Two exports joined: the header again, and a mark",
        "id,name\n1,Ann\n\ufeffid,name\n2,Bob\n",
        {"id": INT, "name": TEXT},
        [[1, "Ann"], "!is the header line again", [2, "Bob"]],
    ),
    text(
        "A log: moments with zones",
        "id,at\n1,2026-01-31T13:45:00Z\n2,2026-01-31T13:45:00+05:30\n",
        {"id": INT, "at": "{type: datetime}"},
        [[1, datetime(2026, 1, 31, 13, 45, tzinfo=UTC)],
         [2, datetime(2026, 1, 31, 13, 45, tzinfo=timezone(timedelta(hours=5, minutes=30)))]],
    ),
    text(
        "A time clock: American hours",
        "Employee,Checked in\nAnn,1/31/2026 12:05 AM\nBob,1/31/2026 1:45 PM\n",
        {"employee": TEXT, "checkedIn": "{type: datetime, format: 'M/D/YYYY h:mm A'}"},
        [["Ann", datetime(2026, 1, 31, 0, 5)], ["Bob", datetime(2026, 1, 31, 13, 45)]],
        called={"checkedIn": "Checked in"},
    ),
    text(
        "A school: a Polish register in cp1250",
        "Imię;Średnia\nŁukasz;4,5\nŻaneta;5,0\n",
        {"imię": TEXT, "średnia": COMMA},
        [["Łukasz", D("4.5")], ["Żaneta", D("5.0")]],
        encoding="cp1250", end="\r\n", says={"encoding": "cp1250"}, refused="is not valid utf-8",
    ),
    text(
        "A Japanese register in Shift-JIS",
        "名前,価格\n山田太郎,1200\n鈴木花子,980\n",
        {"名前": TEXT, "価格": INT},
        [["山田太郎", 1200], ["鈴木花子", 980]],
        encoding="cp932", end="\r\n", says={"encoding": "cp932"}, refused="is not valid utf-8",
    ),
]  # fmt: skip

DATABASES: list[Shape] = [
    text(
        "MySQL, INTO OUTFILE: tabs, \\N for null",
        "id\tname\tscore\n1\tAnn\t1.50\n2\tBob\t\\N\n",
        {"id": INT, "name": TEXT, "score": "{type: decimal, optional: true, map: {'\\N': null}, other: keep}"},
        [[1, "Ann", D("1.50")], [2, "Bob", None]], file="rows.tsv",
    ),
    text(
        "MySQL, the client's table",
        "+----+------+\n| id | name |\n+----+------+\n|  1 | Ann  |\n|  2 | Bob  |\n+----+------+\n",
        {"id": INT, "name": "{type: str, trim: true}"},
        ["!a line of dashes", [1, "Ann"], [2, "Bob"]],
        says={"header_row": 2, "delimiter": "|"}, refused="its columns are not those of the pipeline",
    ),
    text(
        "MySQL, Workbench: all quoted, zero dates",
        '"id","born"\n"1","1980-12-24"\n"2","0000-00-00"\n',
        {"id": INT, "born": DATE},
        [[1, date(1980, 12, 24)], "!must be a date"],
    ),
    text(
        "Postgres, COPY: t and f, short zones, JSON",
        'id,active,at,extra\n1,t,2026-01-31 13:45:31+01,"{""a"": 1}"\n2,f,2026-02-01 00:00:00+01,"[1.10]"\n',
        {"id": INT, "active": "{type: bool}", "at": "{type: datetime}", "extra": "{type: json}"},
        [[1, True, datetime(2026, 1, 31, 13, 45, 31, tzinfo=timezone(timedelta(hours=1))), {"a": 1}],
         [2, False, datetime(2026, 2, 1, tzinfo=timezone(timedelta(hours=1))), [D("1.10")]]],
    ),
    text(
        "SQL Server, sqlcmd: a line of dashes below the header",
        "id,name\n--,----\n1,Ann\n2,Bob\n",
        {"id": INT, "name": TEXT},
        ["!a line of dashes", [1, "Ann"], [2, "Bob"]],
    ),
    text(
        "SQLite: bars, no quotes",
        "id|name|price\n1|Ann|1.50\n2|Bob|2\n",
        {"id": INT, "name": TEXT, "price": DECIMAL},
        [[1, "Ann", D("1.50")], [2, "Bob", D("2")]], file="rows.txt",
    ),
    text(
        "Oracle: numbers with a point only, month by name",
        "ID,PRICE,HIRED\n1,.5,2026-01-31\n2,12,2024-02-29\n",
        {"id": INT, "price": DECIMAL, "hired": DATE},
        [[1, D(".5"), date(2026, 1, 31)], [2, D("12"), date(2024, 2, 29)]],
    ),
    text(
        "pandas: an index without a name, floats for whole numbers, nan",
        ",id,score\n0,1,1.0\n1,2,\n",
        {"id": INT, "score": "{type: float, optional: true}"},
        [[1, 1.0], [2, None]],
    ),
    text(
        "A statistics program: exponents that are meant",
        "sample;value\ns1;1.2E-05\ns2;3.4E+03\n",
        {"sample": TEXT, "value": "{type: float}"},
        [["s1", 1.2e-05], ["s2", 3.4e3]],
    ),
]  # fmt: skip

TEXTS: list[Shape] = [*SPREADSHEETS, *OFFICES, *DATABASES]
