"""The page of a batch: every fact in it, nothing loaded from elsewhere, names that are no HTML."""

import os
import re
from pathlib import Path

from hyperstyle_deploy.runtime.reports.ledger import write_page
from hyperstyle_deploy.runtime.serving.bulk.document import details_document
from hyperstyle_deploy.runtime.serving.bulk.ledger import Ledger
from hyperstyle_deploy.runtime.serving.bulk.roster import Outcome, ProcessKey, Roster


def test_the_page_of_a_batch(ledger: Ledger, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    write_page(page, details_document(ledger))
    assert "0 of 0 photos are done" in page.read_text()

    sum(ledger.add([*(b"/photos/%d.jpg" % number for number in range(1200)), b"/photos/<b>\xff.jpg"]))
    roster = Roster(ledger, 1, 60)
    worker = roster.enlist(ProcessKey.of(os.getpid()))
    taken = roster.take(worker, 1201)
    for number, entry in enumerate(taken[:1100]):
        done = Outcome(1 + number / 1000, None, None, bytes(32), 2, number / 10, 100, bytes(16))
        roster.finish(worker, entry, done)
    roster.finish(worker, taken[-1], Outcome(0.1, "ImageError", "Cannot read /photos/<b>\\udcff.jpg. Got: <it>."))
    document = details_document(ledger)
    assert document["spent"]["quantiles"]["0.5"] == 1.5495
    assert sum(document["spent"]["histogram"]["counts"]) == sum(document["ended"]["counts"]) == 1100
    assert [example["photo"] for example in document["worst"]][:2] == ["/photos/1099.jpg", "/photos/1098.jpg"]
    write_page(page, document)
    text = page.read_text()
    assert "1,100 of 1,201 photos are done" in text
    assert "1 failed" in text
    assert "/photos/&lt;b&gt;\\udcff.jpg" in text
    assert "Cannot read it. Got: &lt;it&gt;." in text
    assert "28.4 minutes" in text  # 1100 photos of 1 to 2.1 s
    assert text.count("<svg") == 2
    assert not re.search(r"(src|href)=\"?http|<script", text)
