"""docs/paper.md from the results of `tombolo eval`."""

OPENING = """# The paper's tables

Written by `bench/paper.sh`; do not edit. The paper measures four baselines on COCO and Flickr30K, which are not here, and prints no row for its own model. So this is its form, with what we have: Flickr8K, **val** (1,000 photos, 5,000
captions), one seed. R@K is as in the paper's equation 5: the share of min(K, right answers) found among the first K (`true_recall@K`). Beside it stands recall@K as the rest of the field counts it: any right
answer among the first K.
"""

OURS = """
Chosen on this split. all-MiniLM-L6-v2, on which the first two stand, was trained on captions like these (its model card).
"""
PARTS = ("random", "ours", "perturbed", "fine-grained", "emoji")

RANDOM = """
**These weights are random.** The public ones could not be fetched where this was run; architectures, sizes and preprocessing are those of the real models, vocabularies are made up (CLIP's and GroupViT's are real; AltCLIP's, of 250,002 pieces, is a small one, and its texts end after 20 tokens), and figures mean nothing until real weights are given
(`bench/paper.sh --weights CLIP=hf:openai/clip-vit-base-patch32`). The first {photos} photos of val alone.
"""


def percent(value):
    return f"{100 * value:.1f}"


def recalls(result, direction):
    side = result[direction]
    cells = [percent(side[f"{kind}@{k}"]) for kind in ("true_recall", "recall") for k in (1, 5, 10)]
    return f"| {result['model']} | " + " | ".join(cells) + " |\n"


def table(results, direction):
    head = "| model | R@1 | R@5 | R@10 | recall@1 | recall@5 | recall@10 |\n|---|---|---|---|---|---|---|\n"
    return head + "".join(recalls(result, direction) for result in results)


def both(results):
    return (f"Image → text\n\n{table(results, 'image_to_text')}\nText → image\n\n{table(results, 'text_to_image')}")


def perturbed(results):
    """Recall@1 as it was, and its relative drop under each perturbation, both directions."""
    names = list(results[0]["perturbations"])
    models = [result["model"] for result in results]
    text = "| | " + " | ".join(f"{model}: image→text | text→image" for model in models) + " | changed |\n"
    text += "|---|" + "---|" * (2 * len(models) + 1) + "\n"
    directions = ("image_to_text", "text_to_image")
    plain = [percent(result[side]["recall@1"]) for result in results for side in directions]
    text += "| as it is | " + " | ".join(plain) + " | |\n"
    for name in names:
        cells = [drop(result, name, side) for result in results for side in directions]
        one = results[0]["perturbations"][name]
        text += f"| `{name}` | " + " | ".join(cells) + f" | {one['changed']} of {one['of']} |\n"
    return text


def drop(result, name, side):
    before, after = result[side]["recall@1"], result["perturbations"][name][side]["recall@1"]
    return f"{percent(after)} ({100 * (after - before) / before:+.0f}%)" if before else percent(after)


def in_form(random):
    """What stands for zero-shot where there is no COCO: that the table can be made, from a model that has learned nothing."""
    text = "\nZero-shot, as the paper does it, wants COCO to train on (`TOMBOLO_COCO`), which is not here: not run."
    clip = [result | {"model": "in the place of zero-shot: CLIP, random"} for result in random if result["model"] == "CLIP"]
    if not clip:
        return f"{text}\n"
    return f"{text} In form, from CLIP's random weights on the first photos of val, which mean nothing:\n\n{table(clip, 'image_to_text')}"


def document(found, photos):
    text = OPENING
    text += "\n## Tables 1 and 2: the baselines\n"
    if found.get("baselines"):
        text += f"\n{both(found['baselines'])}"
    if found.get("random"):
        text += RANDOM.format(photos=photos) + f"\n{both(found['random'])}"
    if found.get("ours"):
        text += f"\n## Tables 1 and 2: our models\n{OURS}\n{both(found['ours'])}"
        text += "\n## Table 3: supervised and zero-shot\n\n"
        supervised = [found["ours"][0] | {"model": "supervised: trained on Flickr8K"}]
        text += table(supervised + found.get("zero-shot", []), "image_to_text")
        if not found.get("zero-shot"):
            text += in_form(found.get("random", []))
    for name, title in (("perturbed", "Perturbed captions and photos"), ("fine-grained", "Fine-grained captions (Flickr30K-FG), perturbed"),
                        ("emoji", "Emoji, held-out combinations, perturbed")):
        if found.get(name):
            counts = found[name][0]
            text += f"\n## {title}\n\n{counts['images']} images, {counts['texts']} texts. Recall@1 in %, relative change in parentheses.\n\n{perturbed(found[name])}"
    missing = [part for part in PARTS if not found.get(part)]
    if missing:
        text += f"\nNot run yet: {', '.join(missing)} (`bench/paper.sh --only PART`).\n"
    return text
