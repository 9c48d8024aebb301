"""What docs/results.md compares: the groups of rows, and how each row is trained."""

from dataclasses import dataclass, field


@dataclass
class Row:
    name: str
    what: str
    settings: list = field(default_factory=list)
    # The row whose other parts it keeps when only some stages are trained.
    start: str | None = None
    stages: tuple = ("text", "image", "map")
    # A recipe of other people's, in whose settings those above are changed.
    preset: str | None = None
    # The runs, each a row and a seed, that it sums the similarities of.
    ensemble: tuple = ()
    # A place on the horizontal axis of its group's plot, and the curve that it is on.
    at: float | None = None
    curve: str | None = None


@dataclass
class Group:
    name: str
    title: str
    about: str
    rows: list
    axis: str | None = None


FROZEN = ["text.output=0", "image.output=0"]
# Without what the default adds to a map once it is found.
PLAIN = ["map.beside=none", "map.querybank=0"]
# A recipe that trains in an eighth of the default's time, on which parts are compared: so three seeds of each can be had.
SMALL = ["image.backbone=efficientnet-lite0", "text.backbone=all-minilm-l6-v2@0,6", "text.layers=1", "text.width=128", "image.width=128",
         "map.dim=384", "map.hidden=384", "map.epochs=30", *PLAIN]
VIEWS = 'image.views=["mirror", "crop", "color"]'
PAIRS = [100, 300, 1_000, 3_000, 10_000, 30_000]
JOINT = ("text", "image", "map", "joint")
FINE_TUNED = [*FROZEN, "image.backbone=efficientnet-lite2@352+mirror", "image.trained_blocks=6", "image.epochs=0", "image.trained_rate=0.5",
              "joint.epochs=6"]
FINE_TUNED_BOTH = [*FINE_TUNED, "text.trained_blocks=2", "text.epochs=0", "text.trained_rate=0.25"]
CLOSED_LITE2 = [*FROZEN, "map.kind=cca", "image.backbone=efficientnet-lite2", "text.backbone=all-minilm-l6-v2", "map.dim=512",
                "map.regularisation=1"]
# Another map on the default's towers.
AGAIN = {"start": "default", "stages": ("map",)}
THREE_DEFAULTS = (("default", 0), ("default", 1), ("default", 2))


def small(name="small", what="the small recipe", settings=(), **more):
    """A row of the small recipe, with these settings changed."""
    return Row(name, what, [*SMALL, *settings], **more)


def another_map(name, what, settings, **more):
    """A row that trains another map on the small recipe's towers."""
    return small(name, what, settings, start="small", stages=("map",), **more)


def frozen(name, what, settings=(), **more):
    """A row of the small recipe without stages text and image."""
    return small(name, what, [*FROZEN, *settings], **more)


def curriculum(name, what, order, groups="[1, 2, 3]", epochs=60):
    """A row that trains the map on groups of pairs; half the images are in each, so the epochs are twice the small recipe's."""
    settings = [f"curriculum.order={order}", f"curriculum.groups={groups}", f"map.epochs={epochs}"]
    return another_map(f"curriculum-{name}", what, settings)


def tower(name, what, stage, settings=()):
    """A row that trains one tower of the small recipe anew, and joins it in closed form."""
    closed = ["map.kind=cca", "map.regularisation=0.3"]
    return small(name, what, [*settings, *closed], start="small", stages=(stage, "map"))


def maps(key, options, settings=()):
    return [another_map(f"{key}-{option}", f"`{option}`", [f"map.{key}={option}", *settings]) for option in options]


GROUPS = [
    Group("recipe", "The recipe, and the plain baselines", "From cached features to a model. *Frozen features*: no stage "
          "text, no stage image; what is pooled from the backbones goes into the map. Unless a row says otherwise hubs are held back, and beside a trained map "
          "stands one in closed form; what each is worth: below.", [
              Row("default", "the default, `tombolo train flickr8k:DIR`"),
              Row("fine-tuned-lite2", "`--preset fine-tuned`: `efficientnet-lite2@352+mirror` alone, frozen text; after stage map six epochs of stage joint, which move its last six blocks too", FINE_TUNED,
                  stages=JOINT),
              Row("fine-tuned-both", "the same, with the last two layers of all-MiniLM-L6-v2 fine-tuned too", FINE_TUNED_BOTH, stages=JOINT),
              Row("ensemble", "mean of the similarities of three defaults, seeds 0, 1 and 2", ensemble=THREE_DEFAULTS),
              Row("best", "mean of the similarities of the three defaults and of the two that are fine-tuned", ensemble=(*THREE_DEFAULTS, ("fine-tuned-lite2", 0), ("fine-tuned-both", 0))),
              Row("frozen", "frozen features, the default's map", FROZEN),
              Row("vse", "VSE++ (`--preset vse++`): words from scratch in a GRU, the hardest negatives, on the default's features of photos", stages=JOINT, preset="vse++"),
              Row("frozen-cca", "frozen features, map `cca`", [*FROZEN, "map.kind=cca"]),
              Row("frozen-cca-lite2", "the same with less read: `efficientnet-lite2`, the last layer of all-MiniLM-L6-v2, 512 dimensions, regularisation 1",
                  CLOSED_LITE2),
              Row("frozen-cca-alone", "frozen features, map `cca`, hubs as they are", [*FROZEN, "map.kind=cca", *PLAIN]),
              Row("frozen-ridge-alone", "the same, map `ridge`", [*FROZEN, "map.kind=ridge", *PLAIN]),
              Row("frozen-procrustes-alone", "the same, map `procrustes`", [*FROZEN, "map.kind=procrustes", *PLAIN]),
              small(what="the small recipe, hubs as they are, nothing beside its map"),
          ]),
    Group("hubs", "Hubs held back, and a closed form beside the trained map", "A hub is near to everything of the other side, whatever is asked. *Held back*: what a vector has in common with the training texts, "
          "or photos, that it is held against is taken off its scores ([models.md](models.md#hubs)); no query of val plays a part but in the choice of two numbers. *Alone*: neither hubs held back nor another form beside.", [
              Row("default", "the default: `mlp`, `cca` beside it, hubs held back"),
              Row("default-alone", "the default's towers, `mlp` alone", PLAIN, **AGAIN),
              Row("default-beside", "the default's towers, `mlp` with `cca` beside it", ["map.querybank=0"], **AGAIN),
              Row("default-hubs", "the default's towers, `mlp`, hubs held back", ["map.beside=none"], **AGAIN),
              Row("fine-tuned-lite2-alone", "`--preset fine-tuned`, `mlp` alone", [*FINE_TUNED, *PLAIN], stages=JOINT),
              Row("fine-tuned-both-alone", "the same, with the last two layers of all-MiniLM-L6-v2 fine-tuned too, `mlp` alone", [*FINE_TUNED_BOTH, *PLAIN], stages=JOINT),
              Row("frozen-mlp-alone", "frozen features, `mlp` alone", [*FROZEN, *PLAIN]),
              Row("frozen-cca-alone", "frozen features, `cca` alone", [*FROZEN, "map.kind=cca", *PLAIN]),
              Row("frozen-cca-lite2-alone", "frozen features with less read, as above, `cca` alone", [*CLOSED_LITE2, *PLAIN]),
              small(what="the small recipe: `mlp` alone"),
              another_map("small-beside", "the small recipe: `mlp` with `cca` beside it", ["map.beside=cca"]),
              *[another_map(f"hubs-{size}", f"the small recipe, hubs held back by {size:,} texts and photos", [f"map.querybank={size}"])
                for size in (250, 1_000, 4_000)],
              another_map("small-both", "the small recipe with `cca` beside it and hubs held back by 4,000", ["map.beside=cca", "map.querybank=4000"]),
          ]),
    Group("stages", "Stages", "What each stage is worth, and the reference model with its queue.", [
        small(),
        small("no-text", "without stage text: its class vector left out", ["text.output=0"]),
        small("no-image", "without stage image: its class vector left out", ["image.output=0"]),
        frozen("small-frozen", "without both"),
        small("no-reference", "stages text and image without the reference model and its queue", ["text.reference=false", "image.reference=false"]),
        small("longer", "stages text and image four epochs instead of one", ["text.epochs=4", "image.epochs=4"]),
    ]),
    Group("map", "Forms of the map", "On the towers of the small recipe. Regularisation of closed forms is chosen on val, as "
          "everything here is.", [
              small(what="`mlp`, the default"),
              *maps("kind", ["linear", "cca", "ridge", "procrustes"]),
          ]),
    Group("map-loss", "Losses of stage map", "On the towers of the small recipe, form `mlp`. Margins: 0.2 of cosine, for "
          "`paper-signed` 1.4 of distance less cosine.", [
              small(what="`infonce`, the default"),
              *maps("loss", ["siglip", "triplet-sum", "triplet-hardest"]),
              *maps("loss", ["paper-signed"], ["map.margin=1.4"]),
              *maps("loss", ["paper"]),
          ]),
    Group("stage-loss", "Losses of stages text and image", "The map is the small recipe's.", [
        small(what="`supcon`, the default"),
        *[small(f"stages-{loss}", f"`{loss}`", [f"text.loss={loss}", f"image.loss={loss}", *more]) for loss, more in [
            ("infonce", []), ("siglip", []), ("triplet-sum", []),
            # In the first epoch it is triplet-sum.
            ("triplet-hardest", ["text.epochs=2", "image.epochs=2"]),
            ("paper-signed", ["text.margin=1.4", "image.margin=1.4"]), ("paper", [])]],
    ]),
    Group("joint", "One stage after the other, or all together", "Stage joint moves both towers and the map by the loss of pairs. "
          "From the start: nothing was trained before it.", [
              small(what="the paper's three stages: the small recipe"),
              small("polish", "the same, then five epochs of stage joint", start="small", stages=("joint",)),
              small("joint", "stage joint from the start, 20 epochs",
                    ["text.epochs=0", "image.epochs=0", "map.epochs=0", "joint.epochs=20", "joint.learning_rate=5e-4"], stages=JOINT),
          ]),
    Group("augmentation", "Augmentation and averaging in stage map", "On the towers of the small recipe, one thing left out at "
          "a time.", [
              small(what="all: the small recipe"),
              another_map("no-mixup", "without mixup", ["map.mixup=0"]),
              another_map("no-two-texts", "without the mean of two texts", ["map.two_texts=0"]),
              another_map("no-input-dropout", "without dropout of the input", ["map.input_dropout=0"]),
              another_map("no-dropout", "without dropout inside the MLP", ["map.dropout=0"]),
              another_map("no-average", "without the average of weights", ["map.average=0"]),
          ]),
    Group("curriculum", "Curriculum", "On the towers of the small recipe. Precise (1): the half of the images whose captions agree the most; incomplete "
          "(2): the first half of the words of their captions; ambiguous (3): the other half. All rows see as many pairs as the small recipe.", [
              small(what="no groups: the small recipe"),
              curriculum("paper", "1, then 2, then 3: the paper's order", "paper"),
              curriculum("reversed", "3, then 2, then 1", "reversed"),
              curriculum("mixed", "1, 2 and 3 in one shuffle", "mixed"),
              curriculum("mixed-13", "1 and 3 in one shuffle", "mixed", "[1, 3]"),
              curriculum("1", "1 alone", "paper", "[1]"),
              curriculum("3", "3 alone", "paper", "[3]"),
          ]),
    Group("backbones", "What is read of the backbones", "The small recipe without stages text and image. *Fine-tuned*: five epochs of stage joint "
          "move blocks of the network for photos at a tenth of the map's learning rate.", [
              frozen("small-frozen", "layers 0 and 6 of all-MiniLM-L6-v2; the last feature map of Lite0: the small recipe's"),
              frozen("mirror", "and the mirror image", ["image.backbone=efficientnet-lite0+mirror"]),
              frozen("middle", "and the middle of Lite0", ["image.backbone=efficientnet-lite0+middle"]),
              frozen("lite2", "Lite2 for Lite0", ["image.backbone=efficientnet-lite2"]),
              frozen("last-layer", "of all-MiniLM-L6-v2 the last layer alone", ["text.backbone=all-minilm-l6-v2"]),
              frozen("four-layers", "of all-MiniLM-L6-v2 layers 0, 2, 4 and 6", ["text.backbone=all-minilm-l6-v2@0,2,4,6"]),
              frozen("jointly", "the first, then five epochs of stage joint", stages=JOINT),
              frozen("learned-pooling", "the same with learned pooling (GPO) of photos and texts", ["image.pooling=learned", "text.pooling=learned"],
                     stages=JOINT),
              small("fine-tuned-text", "the small recipe, and the last two layers of all-MiniLM-L6-v2 trained in stage text", ["text.trained_blocks=2"]),
              frozen("fine-tuned", "the last five blocks of Lite0 fine-tuned", ["image.trained_blocks=5", "image.epochs=0", "joint.learning_rate=5e-4"],
                     stages=JOINT),
              frozen("fine-tuned-whole", "all of Lite0 fine-tuned, two epochs", ["image.trained_blocks=16", "image.epochs=0", "joint.epochs=2", "joint.batch=64",
                                                                                "joint.learning_rate=5e-4"], stages=JOINT),
          ]),
    Group("positives", "Further positives", "What the towers give to a closed form, `cca` with regularisation 0.3.", [
        tower("plain-text", "text: captions of one image", "text"),
        tower("copies", "text: and a copy of each with two letters swapped, and one with a synonym", "text",
              ['text.copies=["char_swap", "synonym_noun"]']),
        tower("plain-image", "image: photos whose captions lie together", "image"),
        tower("views", "image: and mirror images, crops and other colours", "image", [VIEWS]),
        tower("views-alone", "image: these views without other photos", "image", [VIEWS, "image.neighbours=0"]),
    ]),
    Group("pairs", "How many pairs the map needs", "On the towers of the small recipe. Stage image takes photos for alike whose captions lie together, so its tower has seen which captions the training photos have, if no pair of a text and a photo; "
          "without these two stages the map does as well (`small-frozen` above). Regularisation of closed forms is chosen on all of val, whatever the number of pairs.", [
        *[another_map(f"pairs-{kind}-{n}", f"{n:,} pairs, `{kind}`", [f"map.kind={kind}", f"map.pairs={n}"], at=n, curve=kind)
          for kind in ("mlp", "cca") for n in PAIRS],
    ], axis="pairs"),
]


def named(name):
    """The row of this name."""
    return next(row for group in GROUPS for row in group.rows if row.name == name)
