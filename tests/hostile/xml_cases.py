r"""
Malformed and hostile XML of our own making, one or more for each way of being so: the bytes, and the code of each
message in it (or its state, where there is none), or of the refusal.

Everything in here is invented. 127.0.0.1:9 is an address at which nobody listens.
"""

from __future__ import annotations

import codecs

__all__ = ["CASES", "GOOD", "document"]

NS = 'xmlns="urn:hl7-org:v3"'


def document(body: str = "<title>fine</title>", *, before: str = "", root: str = NS) -> str:
    return f'{before}<ClinicalDocument {root}><id root="1.2.3" extension="NOBODY1"/>{body}</ClinicalDocument>'


def envelope(body: str) -> bytes:
    return f'<DistributionEnvelope xmlns="urn:nhs-itk:ns:201005">{body}</DistributionEnvelope>'.encode()


def narrative(text: str) -> str:
    section = f"<component><section><text>{text}</text></section></component>"
    return document(f"<component><structuredBody>{section}</structuredBody></component>")


def entities(declared: str, used: str = "&x;") -> bytes:
    return document(f"<title>{used}</title>", before=f"<!DOCTYPE ClinicalDocument [{declared}]>").encode()


GOOD = document().encode()
#: Each ten times the one before it.
LAUGHS = "".join(f'<!ENTITY x{n} "{f"&x{n - 1};" * 10}">' for n in range(1, 10))
UTF_16 = '<?xml version="1.0" encoding="UTF-16"?>'

#: name → (bytes, what is said).
CASES: dict[str, tuple[bytes, str]] = {
    # what must not be refused
    "a plain document": (GOOD, "done"),
    "a declaration": (document(before='<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n').encode(), "done"),
    "a byte order mark": (codecs.BOM_UTF8 + GOOD, "done"),
    "UTF-16": (document(before=UTF_16).encode("utf-16"), "done"),
    "UTF-16, the other order, undeclared": (codecs.BOM_UTF16_BE + document().encode("utf-16-be"), "done"),
    "ISO 8859-1, declared": (
        document("<title>r\xe9sum\xe9</title>", before='<?xml version="1.0" encoding="ISO-8859-1"?>').encode("latin-1"),
        "done",
    ),
    "the five entities and references": (
        document("<title>&lt;&amp;&gt;&quot;&apos;&#65;&#x1f600;</title>").encode(),
        "done",
    ),
    "comments and instructions inside a text": (document("<title>fi<!-- x --><?y z?>ne</title>").encode(), "done"),
    "CDATA": (document("<title><![CDATA[<script>&x;</script>]]></title>").encode(), "done"),
    "a stylesheet": (
        document(before='<?xml-stylesheet type="text/xsl" href="http://127.0.0.1:9/x.xsl"?>').encode(),
        "done",
    ),
    "a schema elsewhere": (
        document(
            root=f'{NS} xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" '
            'xsi:schemaLocation="urn:hl7-org:v3 http://127.0.0.1:9/x.xsd"'
        ).encode(),
        "done",
    ),
    "another base": (document("<title>a</title>", root=f'{NS} xml:base="http://127.0.0.1:9/"').encode(), "done"),
    "the namespace by another prefix": (
        GOOD.replace(b"<", b"<h:").replace(b"<h:/", b"</h:").replace(b"xmlns=", b"xmlns:h="),
        "done",
    ),
    "a script in the narrative": (narrative('<content onclick="x()">a</content><script>x()</script>'), "done"),
    "a link that is a script": (narrative('<linkHtml href="javascript:x()">a</linkHtml>'), "done"),
    "a document called from outside": (narrative('<reference value="http://127.0.0.1:9/"/>'), "done"),
    "20,000 elements": (narrative("<br/>" * 20_000), "done"),
    "a text of 11 MB": (b"<a>" + b"x" * 11_000_000 + b"</a>", "done"),
    # document types, and what they can do
    "a document type": (document(before="<!DOCTYPE ClinicalDocument>").encode(), "M801"),
    "a document type after a comment": (
        document(before="<?x y?><!-- z -->\n<!DOCTYPE ClinicalDocument>").encode(),
        "M801",
    ),
    "an external document type": (
        document(before='<!DOCTYPE ClinicalDocument SYSTEM "http://127.0.0.1:9/x.dtd">').encode(),
        "M801",
    ),
    "an entity": (entities('<!ENTITY x "30 mg">'), "M801"),
    "an entity of a file": (entities('<!ENTITY x SYSTEM "file:///etc/passwd">'), "M801"),
    "an entity of an address": (entities('<!ENTITY x SYSTEM "http://127.0.0.1:9/">'), "M801"),
    "a parameter entity": (entities('<!ENTITY % p SYSTEM "http://127.0.0.1:9/"> %p;', ""), "M801"),
    "a billion laughs": (entities(f'<!ENTITY x0 "ha">{LAUGHS}', "&x9;"), "M801"),
    "a quadratic blow-up": (entities(f'<!ENTITY x "{"y" * 50_000}">', "&x;" * 50_000), "M801"),
    "an entity of itself": (entities('<!ENTITY x "&x;">'), "M801"),
    "attributes by default": (entities('<!ATTLIST ClinicalDocument a CDATA "b">', ""), "M801"),
    "a document type in UTF-16": (document(before=f"{UTF_16}<!DOCTYPE ClinicalDocument>").encode("utf-16"), "M801"),
    "a document type in small letters": (document(before="<!doctype ClinicalDocument>").encode(), "M801"),
    "an entity that nobody declared": (document("<title>&dose;</title>").encode(), "M800"),
    "an entity of HTML": (document("<title>&nbsp;</title>").encode(), "M800"),
    # encodings
    "UTF-7": (b'<?xml version="1.0" encoding="UTF-7"?>+ADw-a/+AD4-', "M804"),
    "EBCDIC": (b'<?xml version="1.0" encoding="cp037"?><a/>', "M804"),
    "an encoding that is a codec of Python": (b'<?xml version="1.0" encoding="rot13"?><a/>', "M804"),
    "an encoding nobody knows": (b'<?xml version="1.0" encoding="KLINGON"?><a/>', "M804"),
    "XML 1.1": (b'<?xml version="1.1"?><a>&#1;</a>', "M804"),
    "UTF-16 that says it is UTF-8": (
        document(before='<?xml version="1.0" encoding="UTF-8"?>').encode("utf-16"),
        "M803",
    ),
    "UTF-8 that says it is UTF-16": (document(before=UTF_16).encode(), "M803"),
    "UTF-16 without a mark": (document().encode("utf-16-le"), "M803"),
    "UTF-8 with the mark of UTF-16": (codecs.BOM_UTF16_LE + GOOD + b" " * (len(GOOD) % 2), "M800"),
    "Windows-1252, not declared": (document("<title>\x93x\x94</title>").encode("latin-1"), "M704"),
    "an overlong slash": (GOOD.replace(b"fine", b"\xc0\xaf"), "M704"),
    "NUL": (GOOD.replace(b"fine", b"fi\x00ne"), "M705"),
    "C1": (document("<title>5\x9610 mg</title>").encode(), "M705"),
    "NUL by reference": (document("<title>&#0;</title>").encode(), "M800"),
    "a control character by reference": (document("<title>&#1;</title>").encode(), "M800"),
    "a surrogate by reference": (document("<title>&#xd800;</title>").encode(), "M800"),
    # not well formed
    "nothing": (b"", "M700"),
    "blanks": (b" \r\n\t", "M700"),
    "a declaration alone": (b'<?xml version="1.0"?>', "M700"),
    "a comment alone": (b"<!-- x -->", "M800"),
    "text": (b"Dear colleague,", "M800"),
    "broken off": (GOOD[:70], "M800"),
    "broken off inside a character": (GOOD.replace(b"fine", b"r\xc3\xa9")[: GOOD.index(b"fine") + 2], "M704"),
    "two roots": (GOOD + GOOD, "M800"),
    "something after the end": (GOOD + b"<x", "M800"),
    "crossed elements": (document("<title><b></title></b>").encode(), "M800"),
    "an attribute twice": (GOOD.replace(b'root="1.2.3"', b'root="1.2.3" root="1.2.4"'), "M800"),
    "an attribute twice by namespaces": (
        b'<ClinicalDocument xmlns="urn:hl7-org:v3" xmlns:a="u" xmlns:b="u" a:x="1" b:x="2"/>',
        "M800",
    ),
    "a prefix that nobody declared": (document("<x:title/>").encode(), "M800"),
    "a declaration in the middle": (document('<?xml version="1.0"?>').encode(), "M800"),
    # too much
    "130 levels": (document("<a>" * 130 + "</a>" * 130).encode(), "M802"),
    "100,000 levels": (b"<a>" * 100_000, "M802"),
    "200 namespaces": (document(root=NS + "".join(f' xmlns:n{n}="u{n}"' for n in range(200))).encode(), "M802"),
    "200 attributes": (document(root=NS + "".join(f' a{n}="x"' for n in range(200))).encode(), "M802"),
    "an attribute of 100,000 characters": (document(root=f'{NS} a="{"x" * 100_000}"').encode(), "M802"),
    "a name of 1,000 characters": (document(f"<{'n' * 1_000}/>").encode(), "M802"),
    "60,000 children": (document("<x/>" * 60_000).encode(), "M802"),
    "a path that looks at everything for everything": (b"<a>" + b"<b k='x'/>" * 3_000 + b"</a>", "done"),
    # what is another thing
    "another namespace": (b'<ClinicalDocument xmlns="urn:evil"/>', "M710"),
    "no namespace": (b"<ClinicalDocument/>", "M710"),
    "a namespace that is no URI, and something after the end": (b'<a xmlns="urn:x y"/>and the dose is 5 mg', "M800"),
    "a namespace that looks the same": ('<ClinicalDocument xmlns="urn:hl7-org:v3\u200b"/>'.encode(), "M800"),
    "another root": (b'<Bundle xmlns="http://hl7.org/fhir"/>', "M710"),
    "HTML": (b"<html><body>Dear colleague</body></html>", "M710"),
    "two ids": (GOOD.replace(b"<title>", b'<id root="9"/><title>'), "M808"),
    "an include": (
        document('<i:include xmlns:i="http://www.w3.org/2001/XInclude" href="file:///etc/passwd"/>').encode(),
        "M809",
    ),
    "two patients": (document("<title>x</title><recordTarget/><recordTarget/>").encode(), "M721"),
    "no id": (GOOD.replace(b'<id root="1.2.3" extension="NOBODY1"/>', b""), "I611"),
    "a document that is not Base64": (
        document('<component><nonXMLBody><text representation="B64">JVB*</text></nonXMLBody></component>').encode(),
        "I601",
    ),
    "an envelope without a payload": (envelope("<header/>"), "M807"),
    "an envelope with a coded payload": (
        envelope(
            '<header><manifest count="1"><manifestitem id="a" base64="true"/></manifest></header>'
            '<payloads count="1"><payload id="a">PENsaW5pY2Fs</payload></payloads>'
        ),
        "M807",
    ),
    "an envelope in an envelope": (
        envelope("<payloads><payload><DistributionEnvelope><payloads/></DistributionEnvelope></payload></payloads>"),
        "M710",
    ),
}
CASES = {name: (body if isinstance(body, bytes) else body.encode(), said) for name, (body, said) in CASES.items()}
