"""What a zygote rehearses on: a file of which every part is judged, so that every part of the work has been done once."""

from signing.pdf.rehearsal import rehearse
from signing.pdf.validation import Indication


def test_the_rehearsal_goes_through_everything_a_sealed_file_needs() -> None:
    found = rehearse()
    assert found.reason == ""
    assert {one.indication for one in found.signatures} == {Indication.PASSED}
    assert [(one.level, one.revocation) for one in found.signatures if not one.timestamp] == [("B-LTA", "good")] * 2
    assert any(one.timestamp for one in found.signatures)
