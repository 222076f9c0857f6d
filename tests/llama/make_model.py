"""Writes a language model that is tiny and means nothing: two layers of random numbers and a vocabulary of few words.

Runs in the environment of the server (`.llama`). Its answers are made of the words below, so they are text, and at
temperature 0 they are the same each time.
"""

import sys

import gguf
import numpy as np

_WIDTH, _LAYERS, _HEADS, _HIDDEN, _CONTEXT = 64, 2, 4, 128, 4096
_SYLLABLES = [first + last for first in ("ba", "do", "ki", "lu", "me", "so") for last in ("n", "r", "t", "ver", "lin")]
#: What a prompt may hold beside words; a byte of anything else has a token of its own.
_CHARACTERS = [chr(code) for code in range(33, 127)]
_TEMPLATE = "{% for message in messages %}{{ message['role'] }}: {{ message['content'] }}\n{% endfor %}assistant: "


def vocabulary() -> tuple[list[str], list[float], list[int]]:
    """Tokens, their scores, their types: unknown, begin, end, bytes, characters, words."""
    kind = gguf.TokenType
    tokens, types = ["<unk>", "<s>", "</s>"], [kind.UNKNOWN, kind.CONTROL, kind.CONTROL]
    tokens += [f"<0x{byte:02X}>" for byte in range(256)]
    types += [kind.BYTE] * 256
    words = [f"▁{syllable}" for syllable in _SYLLABLES]
    tokens += ["▁", *_CHARACTERS, *words]
    types += [kind.NORMAL] * (1 + len(_CHARACTERS) + len(words))
    return tokens, [-float(number) for number in range(len(tokens))], [int(one) for one in types]


def write(path: str) -> None:
    """The model's file."""
    tokens, scores, types = vocabulary()
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("nonsense")
    writer.add_context_length(_CONTEXT)
    writer.add_embedding_length(_WIDTH)
    writer.add_block_count(_LAYERS)
    writer.add_feed_forward_length(_HIDDEN)
    writer.add_head_count(_HEADS)
    writer.add_head_count_kv(_HEADS)
    writer.add_rope_dimension_count(_WIDTH // _HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    writer.add_pooling_type(gguf.PoolingType.MEAN)
    writer.add_tokenizer_model("llama")
    writer.add_token_list(tokens)
    writer.add_token_scores(scores)
    writer.add_token_types(types)
    writer.add_unk_token_id(0)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_chat_template(_TEMPLATE)
    for name, tensor in _tensors(len(tokens)):
        writer.add_tensor(name, tensor)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _tensors(size: int) -> list[tuple[str, np.ndarray]]:
    random = np.random.default_rng(7)

    def matrix(rows: int, columns: int) -> np.ndarray:
        return (random.standard_normal((rows, columns)) / np.sqrt(columns)).astype(np.float32)

    ones = np.ones(_WIDTH, np.float32)
    output = matrix(size, _WIDTH) * 8
    output[: size - len(_SYLLABLES)] = 0  # only words are ever the likeliest
    found = [("token_embd.weight", matrix(size, _WIDTH) * 8), ("output_norm.weight", ones), ("output.weight", output)]
    for layer in range(_LAYERS):
        found += [(f"blk.{layer}.attn_norm.weight", ones), (f"blk.{layer}.ffn_norm.weight", ones)]
        found += [(f"blk.{layer}.attn_{name}.weight", matrix(_WIDTH, _WIDTH)) for name in ("q", "k", "v", "output")]
        found += [(f"blk.{layer}.ffn_{name}.weight", matrix(_HIDDEN, _WIDTH)) for name in ("gate", "up")]
        found += [(f"blk.{layer}.ffn_down.weight", matrix(_WIDTH, _HIDDEN))]
    return found


if __name__ == "__main__":
    write(sys.argv[1])
