"""Small folders in the official layout of every standard dataset, as its publisher has it."""

from __future__ import annotations

import csv
import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from scipy.io import wavfile

SAYS = ["a dog runs .", "A dog, running", "the brown dog", "dog", "one dog in the grass"]
FOLDERS: dict[str, Callable[[Path], None]] = {}


def official(build: Callable[[Path], None]) -> Callable[[Path], None]:
    FOLDERS[build.__name__] = build
    return build


def image(path: Path, seed: int = 0, size: tuple[int, int] = (20, 12)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


def write_json(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value), encoding="utf-8")


def write_csv(path: Path, rows: list[list[Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(rows)


def ten(answer: str, other: str = "maybe") -> list[dict[str, Any]]:
    """Ten annotators, of whom seven agree."""
    answers = [answer] * 7 + [other] * 3
    return [
        {"answer_id": i, "answer": a, "answer_confidence": "yes"} for i, a in enumerate(answers)
    ]


def _vqa(root: Path, prefix: tuple[str, str]) -> None:
    for split, images in (("train2014", range(1, 13)), ("val2014", range(20, 23))):
        questions, annotations = [], []
        for number in images:
            image(root / split / f"COCO_{split}_{number:012d}.jpg", number)
            for k in range(2):
                key = number * 1000 + k
                questions.append(
                    {"image_id": number, "question_id": key, "question": f"Is it {k}?"}
                )
                annotations.append(
                    {
                        "question_id": key,
                        "image_id": number,
                        "question_type": "is it",
                        "answer_type": "yes/no" if k else "other",
                        "multiple_choice_answer": "yes",
                        "answers": ten("yes" if k else "two", "no"),
                    }
                )
        asked, answered = prefix
        write_json(root / f"{asked}mscoco_{split}_questions.json", {"questions": questions})
        write_json(
            root / f"{answered}mscoco_{split}_annotations.json", {"annotations": annotations}
        )


@official
def vqav2(root: Path) -> None:
    _vqa(root, ("v2_OpenEnded_", "v2_"))


@official
def okvqa(root: Path) -> None:
    _vqa(root, ("OpenEnded_", ""))


@official
def textvqa(root: Path) -> None:
    for split, numbers in (("train", range(12)), ("val", range(20, 23))):
        rows = []
        for n in numbers:
            image(root / f"train_images/abc{n}.jpg", n)
            answers = ["nokia"] * 6 + ["NOKIA"] * 4
            rows.append(
                {"question_id": n, "image_id": f"abc{n}", "question": "what brand?"}
                | {"answers": answers, "set_name": split}
            )
        value = {"dataset_type": split, "dataset_version": "0.5.1", "data": rows}
        write_json(root / f"TextVQA_0.5.1_{split}.json", value)


@official
def vizwiz(root: Path) -> None:
    for split in ("train", "val"):
        rows = []
        for n in range(12):
            name = f"VizWiz_{split}_{n:08d}.jpg"
            image(root / split / name, n)
            rows.append(
                {"image": name, "question": "What is this?", "answers": ten("unanswerable")}
                | {"answer_type": "unanswerable", "answerable": 0}
            )
        write_json(root / f"Annotations/{split}.json", rows)


@official
def gqa(root: Path) -> None:
    for first, split in ((0, "train"), (10, "val"), (20, "testdev")):
        questions = {}
        for n in range(first, first + 3):
            image(root / f"images/n{n}.jpg", n)
            questions[f"0{n}"] = {
                "imageId": f"n{n}",
                "question": "Is the sky dark?",
                "answer": "yes",
                "fullAnswer": "Yes, the sky is dark.",
                "types": {"structural": "verify", "semantic": "attr"},
            }
        write_json(root / f"{split}_balanced_questions.json", questions)


@official
def clevr(root: Path) -> None:
    for split in ("train", "val"):
        questions = []
        for n in range(12):
            name = f"CLEVR_{split}_{n:06d}.png"
            image(root / "images" / split / name, n)
            for k in range(2):
                questions.append(
                    {"question_index": 2 * n + k, "image_index": n, "image_filename": name}
                    | {"question": "How many cubes?", "answer": str(k), "split": split}
                )
        value = {"info": {"split": split, "version": "1.0"}, "questions": questions}
        write_json(root / f"questions/CLEVR_{split}_questions.json", value)


@official
def vqa_rad(root: Path) -> None:
    rows = []
    for n in range(14):
        image(root / f"VQA_RAD Image Folder/synpic{n}.jpg", n)
        rows.append(
            {
                "qid": str(n),
                "phrase_type": "test_freeform" if n > 11 else "freeform",
                "image_name": f"synpic{n}.jpg",
                "question": "Is there a mass?",
                "question_frame": "Is/are there a mass?" if n % 4 == 0 else "NULL",
                "answer": 3 if n == 13 else "Yes ",
                "answer_type": "OPEN" if n == 13 else "CLOSED ",
            }
        )
    write_json(root / "VQA_RAD Dataset Public.json", rows)


@official
def vqa_rad_published(root: Path) -> None:
    vqa_rad(root)


@official
def scienceqa(root: Path) -> None:
    problems, splits = {}, {}
    for first, split in ((1, "train"), (20, "val"), (30, "test")):
        splits[split] = [str(n) for n in range(first, first + 6)]
        for n in range(first, first + 6):
            with_image = n % 3 != 0
            problems[str(n)] = {
                "question": f"Which is {'odd' if n % 2 else 'even'}?",
                "choices": ["the cat", "the dog", f"number {n}"][: 2 + n % 2],
                "answer": n % 2,
                "hint": "",
                "image": "image.png" if with_image else None,
                "subject": "natural science",
                "split": split,
            }
            if with_image:
                image(root / f"images/{split}/{n}/image.png", n)
    write_json(root / "problems.json", problems)
    write_json(root / "pid_splits.json", splits | {"minival": splits["val"]})


def _karpathy(root: Path, name: str, where: Callable[[int, str], dict[str, Any]]) -> None:
    images = []
    splits = ["train"] * 6 + ["val", "val", "test", "test", "restval"]
    for n, split in enumerate(splits):
        entry = where(n, split)
        image(root / entry.pop("at") / entry["filename"], n)
        sentences = [
            {"tokens": text.split(), "raw": text, "imgid": n, "sentid": 5 * n + k}
            for k, text in enumerate(SAYS)
        ]
        images.append(entry | {"imgid": n, "split": split, "sentences": sentences})
    write_json(root / f"dataset_{name}.json", {"images": images, "dataset": name})


@official
def coco_karpathy(root: Path) -> None:
    def where(n: int, split: str) -> dict[str, Any]:
        at = "train2014" if split == "train" else "val2014"
        return {"filename": f"COCO_{at}_{n:012d}.jpg", "filepath": at, "cocoid": n + 100, "at": at}

    _karpathy(root, "coco", where)


@official
def flickr30k(root: Path) -> None:
    _karpathy(root, "flickr30k", lambda n, _: {"filename": f"{n}.jpg", "at": "flickr30k-images"})


@official
def flickr8k(root: Path) -> None:
    lines = []
    for n, split in enumerate(["train", "train", "train", "dev", "test", "test"]):
        name = f"{n}_ab.jpg"
        image(root / "Flicker8k_Dataset" / name, n)
        lines += [f"{name}#{k}\t{text}" for k, text in enumerate(SAYS)]
        with (root / f"Flickr_8k.{split}Images.txt").open("a") as file:
            file.write(f"{name}\n")
    lines.append(
        "2258277193_586949ec62.jpg.1#0\tof an image that is in no list, as in the real file"
    )
    (root / "Flickr8k.token.txt").write_text("\n".join(lines))


def _coco(root: Path, table: str, images: str, numbers: range, **extra: Any) -> None:
    entries, annotations = [], []
    for n in numbers:
        name = f"COCO_{images}_{n:012d}.jpg"
        image(root / images / name, n)
        entries.append({"id": n, "file_name": name, "height": 20, "width": 12} | extra)
        for k, text in enumerate(SAYS):
            annotations.append({"id": 10 * n + k, "image_id": n, "caption": text + "\n"})
    write_json(root / table, {"info": {}, "images": entries, "annotations": annotations})


@official
def nocaps(root: Path) -> None:
    _coco(root, "annotations/captions_train2017.json", "train2017", range(60))
    _coco(root, "nocaps_val_4500_captions.json", "val", range(100, 103), domain="near-domain")


@official
def coco_30k(root: Path) -> None:
    _coco(root, "annotations/captions_train2014.json", "train2014", range(60))
    _coco(root, "annotations/captions_val2014.json", "val2014", range(100, 104))


@official
def eccv_caption(root: Path) -> None:
    coco_karpathy(root)
    _coco(root, "annotations/captions_val2014.json", "val2014", range(200, 204))
    own = {str(n): [10 * n + k for k in range(5)] for n in (200, 201, 203)}
    write_json(root / "eccv_caption/original_image_to_caption.json", own)
    write_json(root / "eccv_caption/eccv_image_to_caption.json", {"201": [2010, 2031]})
    write_json(root / "eccv_caption/eccv_caption_to_image.json", {"2031": [203, 201]})


@official
def conceptual_captions(root: Path) -> None:
    tables = ("Train_GCC-training.tsv", 210), ("Validation_GCC-1.1.0-Validation.tsv", 3)
    for (table, count), split in zip(tables, ("training", "validation"), strict=True):
        lines = [f'a "person {n} on stage\thttp://example.org/{n}.jpg' for n in range(count)]
        (root / table).write_text("\n".join(lines) + "\n")
        for n in range(count):
            image(root / split / "00000" / f"{n:09d}.jpg", n)


def wave(path: Path, seconds: float, rate: int = 44_100) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.sin(np.arange(round(seconds * rate)) * 2 * np.pi * 440 / rate) * 20_000
    wavfile.write(path, rate, values.astype(np.int16))


@official
def clotho(root: Path) -> None:
    header = ["file_name", *(f"caption_{k}" for k in range(1, 6))]
    for split in ("development", "validation", "evaluation"):
        names = [f"Street, {split} {n}.wav" for n in range(2)]
        rows = [[name, *(f"{text}, loudly" for text in SAYS)] for name in names]
        write_csv(root / f"clotho_captions_{split}.csv", [header, *rows])
        for n, name in enumerate(names):
            wave(root / split / name, 0.5 + n)


def frames(path: Path, count: int = 6) -> None:
    for n in range(count):
        image(path / f"{n:05d}.jpg", n)


@official
def msrvtt(root: Path) -> None:
    def table(name: str, splits: list[str], first: int, videos: str) -> None:
        entries = []
        for n, split in enumerate(splits, start=first):
            frames(root / videos / f"video{n}")
            entries.append({"video_id": f"video{n}", "split": split, "category": 1, "url": ""})
        sentences = [
            {"video_id": entry["video_id"], "sen_id": k, "caption": text}
            for entry in entries
            for k, text in enumerate(SAYS)
        ]
        write_json(root / name, {"info": {}, "videos": entries, "sentences": sentences})

    table("train_val_videodatainfo.json", ["train", "train", "validate"], 0, "TrainValVideo")
    table("test_videodatainfo.json", ["test", "test"], 7010, "TestVideo")
    header = ["key", "vid_key", "video_id", "sentence"]
    row = ["ret1", "msr7011", "video7011", "a dog, one of them"]
    write_csv(root / "MSRVTT_JSFUSION_test.csv", [header, row])


@official
def howto100m(root: Path) -> None:
    names = [f"-v{n}" for n in range(60)]
    header = ["video_id", "category_1", "category_2", "rank", "task_id"]
    write_csv(root / "HowTo100M_v1.csv", [header, *([name, "Food", "", 1, 2] for name in names)])
    for name in names:
        rows = [[0.0, 0.4, "put the flour"], [0.4, 0.9, "into the bowl"]]
        write_csv(root / f"captions/{name}.csv", [["start", "end", "text"], *rows])
        video(root / f"videos/{name}.mp4")


def video(path: Path, count: int = 10) -> None:
    """A video of 10 frames a second, each a shade of grey lighter than the one before it."""
    import av

    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
        for n in range(count):
            pixels = np.full((32, 32, 3), 20 * n, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())


@official
def laion(root: Path) -> None:
    for shard in range(3):
        with tarfile.open(root / f"{shard:05d}.tar", "w") as tar:
            for n in range(60):
                key = f"{shard:05d}{n:04d}"
                encoded = io.BytesIO()
                Image.new("RGB", (9, 9), (shard, n, 200)).save(encoded, "jpeg")
                members = {"txt": f" shop sign {n}\n".encode(), "json": b'{"status": "success"}'}
                if n != 1:  # its download failed
                    members["jpg"] = encoded.getvalue()
                for suffix, content in members.items():
                    info = tarfile.TarInfo(f"{key}.{suffix}")
                    info.size = len(content)
                    tar.addfile(info, io.BytesIO(content))
