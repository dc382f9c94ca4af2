"""What must be refused, and in which words: tables of `test_refusals`. Three dots stand for more of the line."""

from __future__ import annotations

SHORT = {
    "IDENTIFIER": "model.init_args.identifier.init_args",
    "BACKBONE": "model.init_args.backbone.init_args",
    "OPTIMIZER": "model.init_args.optimizer.init_args",
    "SOURCE": "data.source.init_args",
    "MODEL": "model.init_args",
}
"""Words for keys."""

MODULES = {
    "refused_syntax": "def (",
    "refused_import": "import pandas_of_nobody",
    "refused_name": "x = 1\nprint(nowhere)",
    "refused_whole": """
from genrec.data import Source
from genrec.identifiers import ItemIdentifier

number = 5

class Codes:
    def __init__(self, digits: int = 4, size: int = 8):
        if digits < 1:
            raise RuntimeError(f"no codes of {digits} digits")

class Partly(ItemIdentifier):
    def setup(self, catalog, assets, backbone): ...
    def index(self, catalog, assets): ...
    def embed(self, items): ...

class Whole(Partly):
    def __init__(self, codes: Codes, alpha: float = 1.0):
        super().__init__()
    def loss(self, backbone, context, history, target): ...
    def rank(self, backbone, memory, k, allowed): ...

class NoSource(Source): ...
""",
}
"""Modules of a user's own."""

KEYS = {
    "MODEL.ks a": "config key `MODEL.ks`: expected a list, not `a`",
    "MODEL.ks [a]": "config key `MODEL.ks`: expected a whole number, not `a`",
    "MODEL.ks null": "the cut-offs `ks` must be positive numbers, got []",
    "MODEL.ks []": "the cut-offs `ks` must be positive numbers, got []",
    "MODEL.ks [0]": "the cut-offs `ks` must be positive numbers, got [0]",
    "MODEL.foo 5": "unknown config key `MODEL.foo`; Recommender has identifier, ... schedule, identifier_lr, ks",
    "MODEL 5": "config key `MODEL` holds the arguments of Recommender by name, it cannot be `5`",
    "MODEL.template x": "the prompt template must hold <history> exactly once: 'x'",
    "MODEL.identifier_lr -1": "`identifier_lr` of the model is -1.0: give 0 or more",
    "MODEL.identifier_lr .nan": "`model.identifier_lr` is nan, which is no number: give one",
    "MODEL.warmup_steps -1": "`warmup_steps` of the model is -1: give 0 or more",
    "MODEL.frozen_steps -1": "`frozen_steps` of the model is -1: give 0 or more",
    "MODEL.warmup_steps 1.5": "config key `MODEL.warmup_steps`: expected a whole number, not `1.5`",
    "MODEL.schedule foo": "config key `MODEL.schedule`: expected cosine, linear, inverse_sqrt or constant, not `foo`",
    "MODEL.scheduler foo": "unknown config key `MODEL.scheduler`; did you mean `schedule`?",
    "OPTIMIZER.lr -1": "Invalid learning rate: -1.0",
    "OPTIMIZER.lr x": "config key `OPTIMIZER.lr`: expected a number, not `x`",
    "OPTIMIZER.lr .nan": "`model.optimizer.lr` is nan, which is no number: give one",
    "OPTIMIZER.lrr 1": "unknown config key `OPTIMIZER.lrr`; did you mean `lr`?",
    "IDENTIFIER.n_semantic -1": "SETRec needs at least one token per item, got n_semantic=-1, use_cf=True",
    "IDENTIFIER.n_semantic 1.5": "config key `IDENTIFIER.n_semantic`: expected a whole number, not `1.5`",
    "IDENTIFIER.n_semantic true": "config key `IDENTIFIER.n_semantic`: expected a whole number, not `true`",
    "IDENTIFIER.n_semantic [1]": "config key `IDENTIFIER.n_semantic`: expected a whole number, not `[1]`",
    "IDENTIFIER.n_semantic null": "config key `IDENTIFIER.n_semantic`: expected a whole number, not `null`",
    "IDENTIFIER.betas []": "SETRec needs betas between 0 and 1, got []",
    "IDENTIFIER.betas x": "config key `IDENTIFIER.betas`: expected a list, not `x`",
    "IDENTIFIER.betas [x]": "config key `IDENTIFIER.betas`: expected a number, not `x`",
    "IDENTIFIER.betas [2]": "SETRec needs betas between 0 and 1, got [2.0]",
    "IDENTIFIER.betas [.nan]": "config key `IDENTIFIER.betas`: expected a number, not `nan`",
    "IDENTIFIER.alpha -1": "`alpha` of SETRec is -1.0: give 0 or more",
    "IDENTIFIER.query_std -1": "`query_std` of SETRec is -1.0: give 0 or more",
    "IDENTIFIER.alpha .nan": "`model.identifier.alpha` is nan, which is no number: give one",
    "IDENTIFIER.alfa 3": "unknown config key `IDENTIFIER.alfa`; did you mean `alpha`?",
    "IDENTIFIER.use_cf maybe": "config key `IDENTIFIER.use_cf`: expected true or false, not `maybe`",
    "IDENTIFIER null": "config key `IDENTIFIER` holds the arguments of SETRec by name, it cannot be `null`",
    "IDENTIFIER [a]": "config key `IDENTIFIER` holds the arguments of SETRec by name, it cannot be `['a']`",
    "model.identifier.betas 5": "config key `IDENTIFIER.betas`: expected a list, not `5`",
    "BACKBONE.pretrained x/y": (
        "T5Backbone takes either `pretrained` (a model's name or folder) or `sizes` (a new model)"
    ),
    "BACKBONE.attention foo": "config key `BACKBONE.attention`: expected auto, dense or flex, not `foo`",
    "BACKBONE.sizes 5": "config key `BACKBONE.sizes`: expected a mapping or null, not `5`",
    "BACKBONE.sizes.d_model 0": "`sizes` has `d_model: 0`: give 1 or more",
    "BACKBONE.sizes.d_model x": "no T5Config can have these `sizes`: Field 'd_model' expected int, got str",
    "BACKBONE.sizes.d_modl 1": "`sizes` has `d_modl`, which is no field of T5Config: did you mean `d_model`?",
    "BACKBONE.sizes.vocab_size 1": "`sizes` has `vocab_size`, which is no field of T5Config: ",
    "IDENTIFIER.blind 5": "config key `IDENTIFIER.blind`: expected true or false, not `5`",
    "data 5": "config key `data` holds other keys: it cannot be `5`",
    "data.foo.bar 5": "unknown config key `data.foo.bar`; SequenceData has source, ... seed, num_workers, val_users",
    "data.batch_sise 3": "unknown config key `data.batch_sise`; did you mean `batch_size`?",
    "data.batch_size 0": "data.batch_size is 0: give 1 or more",
    "data.batch_size x": "config key `data.batch_size`: expected a whole number, not `x`",
    "data.batch_size [1]": "config key `data.batch_size`: expected a whole number, not `[1]`",
    "data.batch_size null": "config key `data.batch_size`: expected a whole number, not `null`",
    "data.batch_size nan": "config key `data.batch_size`: expected a whole number, not `nan`",
    "data.rank_batch_size 0": "data.rank_batch_size is 0: give 1 or more",
    "data.max_history -1": "data.max_history is -1: give 1 or more",
    "data.num_workers -1": "data.num_workers is -1: give 0 or more",
    "data.num_workers 1000000000000": "data.num_workers is 1000000000000, each a process: give 1024 or fewer",
    "data.few_shot 0": "`few_shot` is a positive number, or null for all samples, not 0",
    "data.val_users 0": "`val_users` is a positive number, or null for all users, not 0",
    "data.samples foo": "config key `data.samples`: expected prefixes, windows or users, not `foo`",
    "data.tasks 5": "config key `data.tasks`: expected a mapping or null, not `5`",
    "data.seed -1": "`data.seed` is a whole number from 0 to 4294967295, not -1",
    "data.seed 1000000000000": "`data.seed` is a whole number from 0 to 4294967295, not 1000000000000",
    "SOURCE.users x": "config key `SOURCE.users`: expected a whole number, not `x`",
    "SOURCE.users 0": "a synthetic data set needs 10 users and 10 items, and a share ... users=0, items=140, cold=0.15",
    "SOURCE.userz 5": "unknown config key `SOURCE.userz`; did you mean `users`?",
    "SOURCE.cold .nan": "`data.source.cold` is nan, which is no number: give one",
    "SOURCE.seed -1": "`data.source.seed` is a whole number from 0 to 4294967295, not -1",
    "SOURCE.split 5": "unknown config key `SOURCE.split`; Synthetic has users, items, cold, seed",
    "SOURCE 5": "config key `SOURCE` holds the arguments of Synthetic by name, it cannot be anything else",
    "assets 5": "config key `assets` holds other keys: it cannot be `5`",
    "assets.text.dim 0": "`dim` of TfidfText is 0: give 1 or more",
    "assets.text.dim x": "config key `assets.text.init_args.dim`: expected a whole number, not `x`",
    "assets.text.init_args.dimm 5": "unknown config key `assets.text.init_args.dimm`; did you mean `dim`?",
    "assets.cf.epochs 5": "unknown config key `assets.cf.init_args.epochs`; did you mean `max_epochs`?",
    "trainer 5": "config key `trainer` holds other keys: it cannot be `5`",
    "trainer.max_epochs many": "config key `trainer.max_epochs`: expected a whole number or null, not `many`",
    "trainer.max_epochs 0": "with `trainer.max_epochs: 0` there is nothing to train",
    "trainer.max_epochs -2": "the trainer cannot be made with these keys: `max_epochs` ... or -1. You passed in -2.",
    "trainer.max_epoch 3": "unknown config key `trainer.max_epoch`; did you mean `max_epochs`?",
    "trainer.precision foo": "config key `trainer.precision`: expected ... 16, bf16 or null, not `foo`",
    "trainer.accelerator quantum": (
        "the trainer cannot be made with these keys: ... `accelerator='quantum'`. Available names are"
    ),
    "trainer.devices 0": "the trainer cannot be made with these keys: ... input using cpu accelerator.",
    "trainer.logger foo": "config key `trainer.logger`: expected csv, tensorboard, ... true, false or null, not `foo`",
    "trainer.logger [foo]": "config key `trainer.logger`: expected csv, tensorboard, ... false or null, not `['foo']`",
    "trainer.logger.foo 5": "config key `trainer.logger`: ... made of, name one of those",
    "trainer.logger tensorbord": "config key `trainer.logger`: expected csv, ... did you mean `tensorboard`?",
    "trainer.limit_train_batches 0": "with `trainer.limit_train_batches: 0` there is nothing to train",
    "trainer.limit_train_batches -1": "the trainer cannot be made with these keys: You ... in [0.0, 1.0] or an int.",
    "trainer.gradient_clip_val -1": "`trainer.gradient_clip_val` is -1: give 0 or more",
    "trainer.accumulate_grad_batches 0": "`trainer.accumulate_grad_batches` is 0: give 1 or more",
    "trainer.check_val_every_n_epoch 0": "`trainer.check_val_every_n_epoch` is 0: give 1 or more",
    "trainer.log_every_n_steps 0": "`trainer.log_every_n_steps` is 0: give 1 or more",
    "trainer.callbacks 5": "config key `trainer.callbacks`: expected a list, a class of Callback or null, not `5`",
    "trainer.callbacks [foo]": "config key `trainer.callbacks`: expected a class of Callback or null, not `['foo']`",
    "trainer.plugins foo": "config key `trainer.plugins`: expected a class of Precision, ... a list or null, not `foo`",
    "checkpoint null": "config key `checkpoint` holds other keys: it cannot be `null`",
    "checkpoint.mode up": "`mode` can be min, max but got up",
    "checkpoint.monitor val/foo": "`checkpoint.monitor: val/foo` will not be measured ... is not set is val/ndcg@10",
    "checkpoint.save_top_k x": "config key `checkpoint.save_top_k`: expected a whole number, not `x`",
    "checkpoint.save_top_k -2": "Invalid value for save_top_k=-2. Must be >= -1",
    "early_stopping 5": "config key `early_stopping`: expected a class of EarlyStopping or null, not `5`",
    "early_stopping.mode up": "`mode` can be min, max, got up",
    "early_stopping.monitor foo": "`early_stopping.monitor: foo` will not be measured ... is not set is val/ndcg@10",
    "early_stopping.patience -1": "`early_stopping.patience` is -1: give 0 or more",
    "last 5": "config key `last` holds other keys: it cannot be `5`",
    "last.minutes x": "config key `last.minutes`: expected a number or null, not `x`",
    "last.minutes .nan": "`last.minutes` is nan, which is no number: give one",
    "last.steps 0": "`last.steps` is 0: give 1 or more",
    "seed_everything -1": "`seed_everything` is a whole number from 0 to 4294967295, not -1",
    "seed_everything 4294967296": "`seed_everything` is a whole number from 0 to 4294967295, not 4294967296",
    "seed_everything abc": "config key `seed_everything`: expected true, false or a whole number, not `abc`",
    "seed_everything null": "config key `seed_everything`: expected true, false or a whole number, not `null`",
    "float32_matmul foo": "config key `float32_matmul`: expected highest, high or medium, not `foo`",
    "foo 5": "unknown config key `foo`; a config has config, seed_everything, ... early_stopping, trainer, last",
    "modle.init_args.ks 5": "unknown config key `modle.init_args.ks`; did you mean `model`?",
    "ckpt_path x.ckpt": "there is no checkpoint file `x.ckpt`",
    "output 5 foo": "`foo` belongs to no key: an option is `--key value`, a value with blanks stands in quotes",
    "data.batch_size 5 synthetic_setrec.yaml": "`synthetic_setrec.yaml` belongs to no key: ... synthetic_setrec.yaml`?",
}
"""Keys of the command line and their values, after `fit` of a small data set."""

CLASSES = {
    "model 5": "config key `model`: expected a class of RankingModule (BERT4Rec, ... Recommender, SASRec), not `5`",
    "model null": "no `model` is given: give a config file with --config, such as --config synthetic_setrec.yaml",
    "model foo.Bar": "config key `model`: there is no module `foo` for `foo.Bar`; ... put that folder into PYTHONPATH",
    "model.class_path Foo": "config key `model.class_path`: expected a class of RankingModule ... SASRec), not `Foo`",
    "model.class_path [a]": "config key `model.class_path`: expected a class of RankingModule ... SASRec), not `['a']`",
    "MODEL.identifier 5": "config key `MODEL.identifier`: expected a class of ... SETRec, SemID, TIGER), not `5`",
    "MODEL.identifier [a]": "config key `MODEL.identifier`: expected a class of ... SemID, TIGER), not `['a']`",
    "MODEL.identifier SetRec": "config key `MODEL.identifier`: expected a class of ... did you mean `SETRec`?",
    "MODEL.identifier refused_whole": "config key `MODEL.identifier`: expected a class of ... not `refused_whole`",
    "MODEL.identifier nowhere.Class": "config key `MODEL.identifier`: there is no module ... folder into PYTHONPATH",
    "MODEL.identifier a.yaml": "config key `MODEL.identifier`: there is no file `a.yaml`",
    "MODEL.identifier ItemIdentifier": "config key `MODEL.identifier`: `ItemIdentifier` is ... SETRec, SemID, TIGER)",
    "MODEL.identifier genrec.identifiers.SetRec": (
        "config key `MODEL.identifier`: the module `genrec.identifiers` has no `SetRec`; did you mean `SETRec`?"
    ),
    "MODEL.identifier genrec.backbones.T5Backbone": (
        "config key `MODEL.identifier`: `genrec.backbones.T5Backbone` is no ... LETTER, RPG, SETRec, SemID, TIGER)"
    ),
    "MODEL.identifier os.system": "config key `MODEL.identifier`: `os.system` is no ... SETRec, SemID, TIGER)",
    "MODEL.identifier refused_syntax.A": "config key `MODEL.identifier`: `refused_syntax.A` ... line 1: invalid syntax",
    "MODEL.identifier refused_import.A": "config key `MODEL.identifier`: `refused_import.A` cannot be ... line 1)",
    "MODEL.identifier refused_name.A": (
        "config key `MODEL.identifier`: `refused_name.A` cannot be imported: ... line 2)"
    ),
    "MODEL.identifier refused_whole.Wole": "config key `MODEL.identifier`: the module ... did you mean `Whole`?",
    "MODEL.identifier refused_whole.Partly": "config key `MODEL.identifier`: ... base class leaves to it",
    "MODEL.identifier refused_whole.number": "config key `MODEL.identifier`: ... SemID, TIGER, Whole)",
    "MODEL.identifier refused_whole.Codes": "config key `MODEL.identifier`: ... SemID, TIGER, Whole)",
    "MODEL.identifier refused_whole.Whole": "config key `MODEL.identifier`: Whole needs codes (in its `init_args`)",
    "MODEL.identifier refused_whole.Whole --model.identifier.codes.digit 8": (
        "unknown config key `IDENTIFIER.codes.init_args.digit`; did you mean `digits`?"
    ),
    "MODEL.identifier refused_whole.Whole --IDENTIFIER.codes refused_whole.Codes --model.identifier.codes.digits 0": (
        "no codes of 0 digits"
    ),
    "MODEL.backbone CausalBackbon": "config key `MODEL.backbone`: expected a class of ... you mean `CausalBackbone`?",
    "MODEL.backbone refused_syntax.A": "config key `MODEL.backbone`: `refused_syntax.A` ... line 1: invalid syntax",
    "MODEL.optimizer 5": "config key `MODEL.optimizer`: expected a class of Iterable, ... or null, not `5`",
    "MODEL.optimizer Adamm": "config key `MODEL.optimizer`: expected a class of Iterable, ... or null, not `Adamm`",
    "MODEL.optimizer refused_name.A": "config key `MODEL.optimizer`: `refused_name.A` cannot be imported: ... line 2)",
    "MODEL.optimizer refused_whole.Codes": "config key `MODEL.optimizer`: `refused_whole.Codes` is no Optimizer",
    "data.source 5": "config key `data.source`: expected a class of Source (Amazon, ... Synthetic, Table), not `5`",
    "data.source [a]": "config key `data.source`: expected a class of Source ... Synthetic, Table), not `['a']`",
    "data.source null": "config key `data.source`: expected a class of Source ... Synthetic, Table), not `null`",
    "data.source Tabel": "config key `data.source`: expected a class of Source ... `Tabel`; did you mean `Table`?",
    "data.source Table": "config key `data.source`: Table needs interactions (in its `init_args`)",
    "data.source refused_syntax.A": "a class that is named cannot be imported: ... line 1: invalid syntax",
    "data.source refused_name.A": "a class that is named cannot be imported: NameError: name 'nowhere' is ... line 2)",
    "data.source refused_whole.NoSource": "config key `data.source`: ... base class leaves to it",
    "data.source nowhere.Class": "config key `data.source`: there is no module ... that folder into PYTHONPATH",
    "assets.text TfidfTex": "config key `assets.text`: expected a class of TextAsset ... did you mean `TfidfText`?",
    "assets.sources.image TfidfTex": (
        "config key `assets.sources.image`: expected a class of EmbeddingAsset ... did you mean `TfidfText`?"
    ),
    "assets.sources.text TfidfText": "`assets.sources` has `text`: text and cf have keys ... such as `image`",
    "assets.text refused_whole.Whole": ("config key `assets.text`: `refused_whole.Whole` is ... TfidfText)"),
    "trainer.callbacks a.B": "config key `trainer.callbacks`: there is no module `a` ... that folder into PYTHONPATH",
    "trainer.callbacks [refused_name.A]": "config key `trainer.callbacks`: a class that it names cannot be ... line 2)",
    "trainer.plugins [5]": "config key `trainer.plugins`: expected a class of ... LayerSync or null, not `[5]`",
}
"""The same with classes, some of the modules above."""

COMMANDS = {
    "fit": (
        "no `data.source`, `model` is given: give a config file with --config, such as --config synthetic_setrec.yaml"
    ),
    "fit synthetic_setrec.yaml": "`synthetic_setrec.yaml` belongs to no key: did you mean ... synthetic_setrec.yaml`?",
    "fit --config": "--config takes the name of a config file",
    "fit --config=": "there is no config file ``, neither here nor among the ... --help` lists the packaged ones",
    "fit --config .": "there is no config file `.`, neither here nor among the ... --help` lists the packaged ones",
    "fit --config nope.yaml": "there is no config file `nope.yaml`, neither here nor among the ... trainer/t5.yaml?",
    "fit --config synthetic_setrec.yml": (
        "there is no config file `synthetic_setrec.yml`, ... did you mean synthetic_setrec.yaml, ... .yaml?"
    ),
    "fit --cofig synthetic_setrec.yaml": "unknown config key `cofig`; did you mean `config`?",
    "fit --trust --config synthetic_setrec.yaml": (
        "--trust is for test, validate, predict: what is trained is trusted anyway"
    ),
    "nosuch": "there is no command `nosuch`; `genrec --help` lists them",
    "--config synthetic_setrec.yaml fit": "there is no command `--config`; `genrec --help` lists them",
    "fitt --config synthetic_setrec.yaml": "there is no command `fitt`; did you mean `fit`?",
    "test --config synthetic_setrec.yaml": "no run with a checkpoints/best.ckpt under ... or give --ckpt_path",
    "test --config synthetic_popularity.yaml --trainer.limit_test_batches 0": (
        "with `trainer.limit_test_batches: 0` there is nothing to test"
    ),
    "predict --config synthetic_popularity.yaml --trainer.limit_predict_batches 0": (
        "with `trainer.limit_predict_batches: 0` there is nothing to predict"
    ),
    "predict --config synthetic_popularity.yaml --output x.txt": (
        "predict writes .parquet or .jsonl, not `x.txt` (--output)"
    ),
    "prepare --config synthetic_setrec.yaml --data.root": "argument --data.root: expected one argument",
    "report": "`genrec report` takes the folders of runs: genrec report runs/toys_setrec runs/toys_popularity",
    "report nope": "there is no run `nope`: `genrec test` makes one",
    "report nope --format foo": "genrec report: argument --format: invalid choice: 'foo' ... --help` lists the options",
    "report nope --plot-over x": "--plot-over draws a figure: say where with --plots DIR",
    "compare": "genrec compare: the following arguments are required: RUN_A, ... compare --help` lists the options",
    "compare nope": (
        "genrec compare: the following arguments are required: RUN_B; `genrec ... --help` lists the options"
    ),
    "compare nope nope nope": "genrec compare: unrecognized arguments: nope; `genrec compare --help` lists the options",
    "compare nope nope --samples x": "genrec compare: argument --samples: invalid int ... --help` lists the options",
    "compare nope nope --samples 0": "--samples takes a positive number, --seed one that is not negative, not 0 and 0",
    "inspect": "genrec inspect: the following arguments are required: RUN; `genrec inspect --help` lists the options",
    "inspect nope": (
        "there is no trained recommender in `nope`: give the folder of ... one that `save_pretrained` wrote"
    ),
    "recommend": "genrec recommend: the following arguments are required: --run; ... --help` lists the options",
    "recommend --run nope --history a --k 0": "--k is the number of items per user, at least 1, not 0",
    "recommend --run nope --history a --k x": (
        "genrec recommend: argument --k: invalid int value: ... lists the options"
    ),
    "recommend --run nope --history a --index foo": (
        "genrec recommend: argument --index: invalid choice: 'foo' (choose ... recommend --help` lists the options"
    ),
    "recommend --run nope --history a --allow nope.txt": "cannot read `nope.txt` (--allow): No such file or directory",
    "recommend --run nope --history a --allow .": "cannot read `.` (--allow): Is a directory",
    "recommend --run nope --history a --new-items nope.jsonl": "there is no file `nope.jsonl` (--new-items)",
    "recommend --run nope --history a --output x.csv": "recommend writes .parquet or .jsonl, not `x.csv` (--output)",
    "study": "genrec study: the following arguments are required: STUDY; `genrec study --help` lists the options",
    "study nope.yaml": "there is no config file `nope.yaml`, neither here nor among the packaged ... main_toys.yaml?",
    "tune": "genrec tune: the following arguments are required: STUDY; `genrec tune --help` lists the options",
    "tune nope.yaml": "there is no config file `nope.yaml`, neither here nor among the packaged ... main_toys.yaml?",
}
"""Commands as they are typed."""

STUDIES = {
    'name: ""': "FILE: the name of a study is that of a folder, such as ablation, not ``",
    "name: [a]": "FILE: the name of a study is that of a folder, such as ablation, not `['a']`",
    "name: null": "FILE: the name of a study is that of a folder, such as ablation, not `None`",
    "name: a/b": "FILE: the name of a study is that of a folder, such as a-b, not `a/b`",
    "name: ..": "FILE: the name of a study is that of a folder, such as ablation, not `..`",
    "-config: [a]": "FILE: a config is the name of a file, not `['a']`",
    "-config: 5": "FILE: a config is the name of a file, not `5`",
    "-config: null": "FILE: a config is the name of a file, not `None`",
    "-configs: []": "FILE: a study has `config: NAME` or `configs: [NAME, ...]`, not `configs: []`",
    "-configs: [5]": "FILE: a config is the name of a file, not `5`",
    "-configs: [synthetic_popularity.yaml: 5]": "FILE: `synthetic_popularity.yaml` is a mapping ... to values, not `5`",
    "configs: [a]": "FILE: a study has `config: NAME` or `configs: [NAME, ...]`, not `config: ... `configs: ['a']`",
    "seeds: 5": "FILE: `seeds` is a list of numbers, such as [42, 43, 44], not `5`",
    "seeds: []": "FILE: `seeds` is a list of numbers, such as [42, 43, 44], not `[]`",
    "seeds: [1, yes]": "FILE: `seeds`: a seed is a whole number from 0 to 4294967295, not `True`",
    "seeds: [abc]": "FILE: `seeds`: a seed is a whole number from 0 to 4294967295, not `abc`",
    "seeds: [-1]": "FILE: `seeds`: a seed is a whole number from 0 to 4294967295, not `-1`",
    "seeds: [1, 1]": "FILE: two rows or seeds ... name, `synthetic_popularity/seed1`: list a seed once, ... `variants`",
    "set: {measure.metrics: [ndcg, foo]}": "x, synthetic_popularity: `foo` is no metric ... those are ... diversity",
    "set: {model.init_args.ks: [0, 5]}": (
        "x, synthetic_popularity: the cut-offs `ks` must be positive numbers, got [0, 5]"
    ),
    "set: {model.init_args.ks: []}": "x, synthetic_popularity: the cut-offs `ks` must be positive numbers, got []",
    "set: {checkpoint.monitor: val/foo@10}": (
        "x, synthetic_popularity: `checkpoint.monitor: val/foo@10` will not be measured ... not set is val/ndcg@10"
    ),
    "set: {trainer.log_every_n_steps: 0}": "x, synthetic_popularity: `trainer.log_every_n_steps` is 0: give 1 or more",
    "seed: 5": (
        "FILE: a study has no key `seed`; it may have name, config, configs, seeds, set, variants, sweep, retest"
    ),
    "set: 5": "FILE: `set` is a mapping of keys to values, not `5`",
    "set: {foo: 1}": "x, synthetic_popularity: unknown config key `foo`; a config has config, ... trainer, last",
    "set: {data.batch_size: many}": "x, synthetic_popularity: config key ... a whole number, not `many`",
    "set: {seed_everything: 1}": "FILE: no key sets `seed_everything`: `seeds`, or `seed` of a search, says so",
    "set: {config: toys_setrec.yaml}": "FILE: no key sets `config`: `config`, or `configs` of a study, says so",
    "set: {ckpt_path: last}": "FILE: no key sets `ckpt_path`: each goes on from its own checkpoints",
    "variants: {a: {runs: other}}": "FILE: no key sets `runs`: `--studies` is the folder of all",
    'set: {"": 1}': "x, synthetic_popularity: `--=1` belongs to no key: an option is ... with blanks stands in quotes",
    "variants: 5": "FILE: `variants` is a mapping of keys to values, not `5`",
    "variants: {}": "FILE: `variants` names none: give a label and its keys, such as {all: {}}",
    "variants: {a: 5}": "FILE: `variants: a` is a mapping of keys to values, not `5`",
    "variants: {a: {foo: 1}}": "x, synthetic_popularity/a: unknown config key `foo`; a config ... trainer, last",
    'variants: {" ": {}}': "FILE: `variants`: a label has letters or digits, unlike ` `",
    "variants: {a b: {}, a-b: {}}": "FILE: two ... name, `synthetic_popularity/a-b/seed42`: list ... `variants`",
    "sweep: 5": "FILE: `sweep` is a mapping of keys to values, not `5`",
    "sweep: {}": "FILE: `sweep` gives every key a list of values, such as {data.batch_size: [64, 128]}, not none",
    "sweep: {a: 1}": "FILE: `sweep` gives every key a list of values, such as {data.batch_size: [64, 128]}, not `a: 1`",
    "sweep: {a: []}": (
        "FILE: `sweep` gives every key a list of values, such as {data.batch_size: [64, 128]}, not `a: []`"
    ),
    "sweep: {data.batch_size: [x]}": "x, synthetic_popularity/batch_size=x: config key ... a whole number, not `x`",
    "retest: {data.batch_size: [1]}": "synthetic_popularity.yaml has nothing to train: `sweep` ... takes a checkpoint",
    "sweep: {a: [1]}\nvariants: {a: {}}": "FILE: a study has `variants` or `sweep`, not both",
    "-{config: synthetic_sasrec.yaml, set: {trainer.max_epochs: 0}}": (
        "x, synthetic_sasrec: with `trainer.max_epochs: 0` there is nothing to train"
    ),
    "-user: item": "FILE: a study has no key `user`; it may have name, config, ... set, variants, sweep, retest",
    "-": "FILE: a study has `config: NAME` or `configs: [NAME, ...]`, not neither",
    "-[a]": "FILE: a config is a mapping of keys to values, not list",
    "-5": "FILE: a config is a mapping of keys to values, not int",
    "config: again.yaml": "FILE, line 2: not valid YAML (the key `config` stands here again)",
}
"""Studies, below a config unless they begin with a dash."""

SEARCHES = {
    "": "FILE: a search has a `config` and a `space` of keys with choices or bounds, not ... and `None`",
    "-space: {a: [1]}": "FILE: a search has a `config` and a `space` of keys with ... not `None` and `{'a': [1]}`",
    "-{config: [a], space: {a: [1]}}": "FILE: a search has a `config` and a `space` of ... `['a']` and `{'a': [1]}`",
    "space: 5": "FILE: a search has a `config` and a `space` of keys with choices or bounds, not ... and `5`",
    "space: {}": "FILE: a search has a `config` and a `space` of keys with choices or bounds, not ... and `{}`",
    "space: {foo: [1]}": "FILE: unknown config key `foo`; a config has config, ... trainer, last",
    "space: {a: 5}": "FILE: `a` is a list of values, or {low: 1.0e-4, high: 1.0e-2, ... needs a low above 0), not `5`",
    "space: {a: []}": (
        "FILE: `a` is a list of values, or {low: 1.0e-4, high: 1.0e-2, ... needs a low above 0), not `[]`"
    ),
    "space: {a: [{b: 1}]}": (
        "FILE: `a` is a list of values, or {low: 1.0e-4, high: 1.0e-2, ... a low above 0), not `[{'b': 1}]`"
    ),
    "space: {a: {low: 1}}": "FILE: `a` is a list of values, or {low: 1.0e-4, high: ... above 0), not `{'low': 1}`",
    "space: {a: {low: 2, high: 1}}": (
        "FILE: `a` is a list of values, or {low: 1.0e-4, high: ... `{'low': 2, 'high': 1}`"
    ),
    "space: {a: {low: true, high: 2}}": "FILE: `a` is a list of values, or {low: 1.0e-4, high: ... True, 'high': 2}`",
    "space: {a: {low: 1, high: .inf}}": "FILE: `a` is a list of values, or {low: 1.0e-4, ... `{'low': 1, 'high': inf}`",
    "space: {a: {low: 0, high: 1, log: true}}": "FILE: `a` is a list of values, or {low: 1.0e-4, ... 1, 'log': True}`",
    "space: {data.batch_size: [x]}": "FILE: config key `data.batch_size`: expected a whole number, not `x`",
    "set: {trainer.limit_val_batches: 0}\nspace: {data.batch_size: [1]}": (
        "FILE: validation has to choose: leave out `trainer.limit_val_batches: 0`"
    ),
    "-{config: synthetic_sasrec.yaml, space: {trainer.limit_train_batches: [0]}}": (
        "FILE: with `trainer.limit_train_batches: 0` there is nothing to train"
    ),
    "set: {checkpoint.monitor: val/foo@10}\nspace: {data.batch_size: [1]}": (
        "FILE: `checkpoint.monitor: val/foo@10` will not be measured ... not set is val/ndcg@10"
    ),
    "space: {data.batch_size: [8, lots]}": "FILE: config key `data.batch_size`: expected a whole number, not `lots`",
    "space: {data.batch_size: {low: 8, high: 8.5}}": (
        "FILE: config key `data.batch_size`: expected a whole number, not `8.5`"
    ),
    "space: {data.batch_size: [8], trainer.limit_val_batches: [1, 0]}": (
        "FILE: validation has to choose: leave out `trainer.limit_val_batches: 0`"
    ),
    "-{config: synthetic_sasrec.yaml, space: {data.batch_size: [8], trainer.limit_train_batches: [1, 0]}}": (
        "FILE: with `trainer.limit_train_batches: 0` there is nothing to train"
    ),
    "space: {data.batch_size: [8, 16, 8]}": "FILE: `data.batch_size` lists 8 twice, or a value that is equal",
    "trials: 0\nspace: {a: [1]}": "FILE: `trials` is a positive number, or `all` for every combination, not `0`",
    "trials: true\nspace: {a: [1]}": "FILE: `trials` is a positive number, or `all` for every combination, not `True`",
    "seed: abc\nspace: {a: [1]}": "FILE: `seed`: a seed is a whole number from 0 to 4294967295, not `abc`",
    "seed: -1\nspace: {a: [1]}": "FILE: `seed`: a seed is a whole number from 0 to 4294967295, not `-1`",
    "set: abc\nspace: {a: [1]}": "FILE: `set` is a mapping of keys to values, not `abc`",
    "set: {config: toys_setrec.yaml}\nspace: {a: [1]}": "FILE: no key sets `config`: `config`, or ... a study, says so",
    "space: {seed_everything: [1, 2]}": "FILE: no key sets `seed_everything`: `seeds`, or `seed` of a search, says so",
    "seeds: [1]\nspace: {a: [1]}": (
        "FILE: a study has no key `seeds`; it may have name, config, seed, trials, set, space"
    ),
}
"""Searches of `genrec tune`, likewise."""

CONFIGS = {
    "user: item": "unknown config key `user`; a config has config, ... checkpoint, early_stopping, trainer, last",
    "[a]": "FILE: a config is a mapping of keys to values, not list",
    "a: [1": "FILE, line 1: not valid YAML (expected ',' or ']', but got '<stream end>')",
    "a: 1\na: 2": "FILE, line 2: not valid YAML (the key `a` stands here again)",
    "a: {b: 1, b: 2}": "FILE, line 1: not valid YAML (the key `b` stands here again)",
    "model: {class_path: SetRec}": "config key `model`: expected a class of RankingModule ... did you mean `BERT4Rec`?",
    "model: {class_path: 5}": "config key `model`: expected a class of RankingModule (BERT4Rec, ... SASRec), not `5`",
    "model: {class_path: [a]}": "config key `model`: expected a class of RankingModule ... SASRec), not `['a']`",
    "data: {source: [a]}": "config key `data.source`: expected a class of Source (Amazon, ... Table), not `['a']`",
    "data: {max_hystory: 3}": "unknown config key `data.max_hystory`; did you mean `max_history`?",
    "compose: [nope.yaml]": "there is no config file `nope.yaml`, neither here nor among the ... trainer/t5.yaml?",
    "compose: [synthetic_setrec.yaml]\nmodel: {init_args: {identifier: {class_path: refused_name.A}}}": (
        "config key `model`: a class that it names cannot be imported: NameError: ... (HERE/refused_name.py, line 2)"
    ),
    "compose: [synthetic_setrec.yaml]\nmodel: {init_args: {ks: {a: 1}}}": (
        "config key `MODEL.ks`: expected a list, not `{'a': 1}`"
    ),
    "compose: [synthetic_setrec.yaml]\nmodel: {init_args: {identifier: {init_args: {alfa: 3}}}}": (
        "unknown config key `IDENTIFIER.alfa`; did you mean `alpha`?"
    ),
    "compose: [synthetic_setrec.yaml]\ntrainr: {max_epochs: 3}": (
        "unknown config key `trainr.max_epochs`; did you mean `trainer`?"
    ),
    "compose: [synthetic_setrec.yaml]\ntrainer: {max_epochz: 3}": (
        "unknown config key `trainer.max_epochz`; did you mean `max_epochs`?"
    ),
    "compose: [synthetic_setrec.yaml]\ntrainer: 5": "FILE: `trainer` holds other keys: it cannot be `5`",
    "compose: [synthetic_setrec.yaml]\ndata: {batch_size: [1]}": (
        "config key `data.batch_size`: expected a whole number, not `[1]`"
    ),
}
"""Configs of `genrec fit`."""
