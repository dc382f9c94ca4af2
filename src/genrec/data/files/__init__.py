"""Files of people: found wherever they are, unpacked with care, read by what they are."""

from genrec.data.files.batching import batches
from genrec.data.files.findings import FINDINGS, Findings
from genrec.data.files.header import require
from genrec.data.files.places import Part, find
from genrec.data.files.reading import Reading, read_table
from genrec.data.files.records import json_lines

__all__ = ["FINDINGS", "Findings", "Part", "Reading", "batches", "find", "json_lines", "read_table", "require"]
