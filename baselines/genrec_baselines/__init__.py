"""The published identifiers and recommenders that genrec compares with; the core never imports this package."""

from genrec_baselines.alternation import AlternatingTraining
from genrec_baselines.bert4rec import BERT4Rec
from genrec_baselines.bigrec import BIGRec
from genrec_baselines.cid import CID
from genrec_baselines.codeset import CodeSet
from genrec_baselines.diffgrm import DiffGRM
from genrec_baselines.dreamrec import DreamRec
from genrec_baselines.e4srec import E4SRec
from genrec_baselines.gru4rec import GRU4Rec
from genrec_baselines.gsasrec import GSASRec
from genrec_baselines.hstu import HSTU
from genrec_baselines.idgenrec import IDGenRec
from genrec_baselines.lcrec import LCRec
from genrec_baselines.letter import LETTER
from genrec_baselines.rpg import RPG
from genrec_baselines.semid import SemID
from genrec_baselines.tiger import TIGER

__all__ = [
    "CID",
    "HSTU",
    "LETTER",
    "RPG",
    "TIGER",
    "AlternatingTraining",
    "BERT4Rec",
    "BIGRec",
    "CodeSet",
    "DiffGRM",
    "DreamRec",
    "E4SRec",
    "GRU4Rec",
    "GSASRec",
    "IDGenRec",
    "LCRec",
    "SemID",
]
