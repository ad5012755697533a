"""Media that cannot be used, each named with its reason."""

import struct

import numpy as np
import pytest
from PIL import Image
from scipy.io import wavfile

from mmbench.data.decoding import Unreadable, open_media
from mmbench.data.images import ImageDecoder, decode_image
from mmbench.data.media import MediaRef
from mmbench.data.sounds import SoundDecoder
from mmbench.data.stored import Clip, File, Frames, stored_video
from mmbench.data.videos import VideoDecoder
from tests.data.layouts import frames, image, video, wave


def why(decoder, medium) -> str:
    with pytest.raises((Unreadable, OSError)) as error:
        decoder.decode(medium)
    return str(error.value)


def test_a_truncated_jpeg(tmp_path):
    path = tmp_path / "a.jpg"
    image(path, size=(60, 60))
    for length in (2000, 300, 20, 0):
        path.write_bytes(path.read_bytes()[:length])
        assert why(ImageDecoder(8), File(path))


def png_of(width: int, height: int) -> bytes:
    """The beginning of a PNG that says that it is so large; its pixels are not needed."""
    import zlib

    def chunk(name: bytes, content: bytes) -> bytes:
        crc = zlib.crc32(name + content)
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", crc)

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0"))


@pytest.mark.parametrize(
    ("width", "height"), [(20_000, 20_000), (9000, 9000), (11_000, 11_000), (100_000, 1000)]
)
def test_a_huge_image_is_refused_before_it_is_decoded(width, height):
    with pytest.raises(Unreadable, match="more than"):
        decode_image(png_of(width, height), 8)


@pytest.mark.parametrize("size", [(1, 1), (1, 50)])
def test_an_image_of_one_pixel(tmp_path, size):
    Image.new("RGB", size).save(tmp_path / "a.png")
    assert "too small" in why(ImageDecoder(8), File(tmp_path / "a.png"))


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGBA", "CMYK", "1"])
def test_other_modes_become_rgb(tmp_path, mode):
    path = tmp_path / ("a.jpg" if mode == "CMYK" else "a.png")
    Image.new(mode, (8, 8)).save(path)
    assert ImageDecoder(8).decode(File(path)).shape == (8, 8, 3)


def test_16_bits_one_channel_at_the_rate_stay_as_they_are(tmp_path):
    values = np.random.default_rng(0).integers(-32768, 32768, 800, dtype=np.int16)
    wavfile.write(tmp_path / "a.wav", 8000, values)
    decoded = SoundDecoder(8000, 0.2).decode(File(tmp_path / "a.wav"))
    assert decoded.tolist() == values.tolist() + [0] * 800
    assert SoundDecoder(8000, 0.05).decode(File(tmp_path / "a.wav")).tolist() == (
        values[:400].tolist()
    )


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.float32])
def test_other_samples_and_stereo_become_16_bits(tmp_path, dtype):
    quarter = {np.uint8: 160, np.int32: 2**29, np.float32: 0.25}[dtype]
    wavfile.write(tmp_path / "a.wav", 8000, np.full((80, 2), quarter, dtype))
    decoded = SoundDecoder(8000, 0.01).decode(File(tmp_path / "a.wav"))
    assert set(decoded.tolist()) == {8192}


def test_decoded_sounds_know_their_rate(tmp_path, monkeypatch):
    monkeypatch.setenv("MMBENCH_CACHE", str(tmp_path / "cache"))
    wavfile.write(tmp_path / "a.wav", 4000, np.zeros(400, np.int16))
    for _ in range(2):  # decoded, then from the cache
        media = open_media([File(tmp_path / "a.wav")], SoundDecoder(8000, 0.1)).media
        assert MediaRef(media, media.digest, 0).rate == 8000


def test_a_truncated_wav(tmp_path):
    path = tmp_path / "a.wav"
    wave(path, 0.1)
    content = path.read_bytes()
    decoder = SoundDecoder(8000, 0.1)
    for length in (5000, 100, 44, 30, 10, 3, 0):
        path.write_bytes(content[:length])
        assert why(decoder, File(path))
    path.write_bytes(content[:5000])
    assert "truncated: 5,000 of 8,864 bytes" in why(decoder, File(path))
    path.write_bytes(b"ID3" + content)
    assert "not a WAV file" in why(decoder, File(path))


def test_a_wav_without_sound(tmp_path):
    wavfile.write(tmp_path / "a.wav", 8000, np.zeros(0, np.int16))
    assert "no sound" in why(SoundDecoder(8000, 1), File(tmp_path / "a.wav"))


def test_frames_are_spread_over_a_folder(tmp_path):
    frames(tmp_path / "v", 6)
    decoder = VideoDecoder(3, 8)
    decoded = decoder.decode(stored_video(tmp_path / "v.mp4"))
    for place, frame in enumerate((1, 3, 5)):
        expected = decode_image((tmp_path / f"v/{frame:05d}.jpg").read_bytes(), 8)
        np.testing.assert_array_equal(decoded[place], expected)
    (tmp_path / "empty").mkdir()
    assert "no frames" in why(decoder, Frames(tmp_path / "empty"))
    assert isinstance(stored_video(tmp_path / "absent.mp4"), File)


def test_a_video_file(tmp_path):
    av = pytest.importorskip("av")
    path = tmp_path / "a.mp4"
    video(path, 10)
    decoder = VideoDecoder(5, 8)
    shades = decoder.decode(File(path)).mean((1, 2, 3)) / 20
    assert shades == pytest.approx([1, 3, 5, 7, 9], abs=0.5)
    shades = decoder.decode(Clip(path, 0.5, 0.6)).mean((1, 2, 3)) / 20
    assert shades == pytest.approx([5] * 5, abs=0.5)
    assert "no pictures at this time" in why(decoder, Clip(path, 60.0, 61.0))
    assert "ends before it begins" in why(decoder, Clip(path, 0.5, 0.4))
    path.write_bytes(path.read_bytes()[:800])
    assert why(decoder, File(path))
    with av.open(str(tmp_path / "sound.wav"), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), "s16", "mono")
        sound.sample_rate = 8000
        container.mux(stream.encode(sound))
    assert "no pictures" in why(decoder, File(tmp_path / "sound.wav"))


def test_without_av_a_video_file_says_what_to_install(tmp_path, monkeypatch):
    import sys

    from mmbench.errors import MMBenchError

    monkeypatch.setitem(sys.modules, "av", None)
    (tmp_path / "a.mp4").write_bytes(b"")
    with pytest.raises(MMBenchError, match="pip install av"):
        VideoDecoder(2, 8).decode(File(tmp_path / "a.mp4"))
