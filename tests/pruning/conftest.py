"""Small Llama models of real shapes, with random weights."""

import json

import pytest
import torch

KINDS = {
    "plain": {},
    "grouped": {"num_key_value_heads": 2},
    "tied": {"num_key_value_heads": 1, "tie_word_embeddings": True},
    "biased": {"attention_bias": True, "mlp_bias": True},
}


@pytest.fixture(scope="session")
def llama():
    """A function of a kind and a dtype that gives a new LlamaForCausalLM, always with the same weights."""
    from transformers import LlamaConfig, LlamaForCausalLM

    def make(kind="grouped", dtype=torch.float32, **changed):
        sizes = dict(hidden_size=32, intermediate_size=80, num_hidden_layers=3, num_attention_heads=4, vocab_size=61)
        config = LlamaConfig(**(sizes | {"max_position_embeddings": 64} | KINDS[kind] | changed))
        torch.manual_seed(0)
        model = LlamaForCausalLM(config).eval()
        with torch.no_grad():
            for name, p in model.named_parameters():
                p.normal_(1 if "norm" in name else 0, 0.3 if "norm" in name or "bias" in name else 0.15)
        buffers = {name: b.clone() for name, b in model.named_buffers()}
        model.to(dtype)
        for name, b in buffers.items():  # the frequencies of the positions stay float32, as in a loaded model
            owner, _, last = name.rpartition(".")
            model.get_submodule(owner).register_buffer(last, b, persistent=False)
        return model

    return make


@pytest.fixture(scope="session")
def saved(llama, tmp_path_factory):
    """A function that gives a new folder with a model's checkpoint, of some shards, and a tokenizer of words."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = Tokenizer(models.WordLevel({f"w{i}": i for i in range(61)}, unk_token="w0"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()

    def make(shard="60KB", **settings):
        folder = tmp_path_factory.mktemp("llama")
        llama(**settings).save_pretrained(folder, max_shard_size=shard)
        PreTrainedTokenizerFast(tokenizer_object=words).save_pretrained(folder)
        return folder

    return make


@pytest.fixture(scope="session")
def tokens():
    return torch.randint(61, (25, 16), generator=torch.Generator().manual_seed(1))


TEXT = "Where was Ada Lovelace born? Ada Lovelace was born in London. Where was Émile Zola born? In Paris, they say."


@pytest.fixture(scope="session", params=["bytes", "words"])
def tokenizer(request):
    """A tokenizer trained on TEXT: byte pairs as Llama-3 has them, or pieces with a mark for a space as Llama-2 has."""
    import tokenizers
    from tokenizers import decoders, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    bare = tokenizers.Tokenizer(tokenizers.models.BPE(byte_fallback=request.param == "words", unk_token="<unk>"))
    special = ["<unk>", "<s>", "</s>"]
    if request.param == "bytes":
        bare.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        bare.decoder = decoders.ByteLevel()
        alphabet = pre_tokenizers.ByteLevel.alphabet()
    else:
        bare.pre_tokenizer = pre_tokenizers.Metaspace()
        bare.decoder = decoders.Sequence(
            [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
        )
        alphabet, special = [], [*special, *(f"<0x{byte:02X}>" for byte in range(256))]
    sizes = dict(vocab_size=320, special_tokens=special, initial_alphabet=alphabet)
    trainer = trainers.BpeTrainer(**sizes, show_progress=False)
    bare.train_from_iterator([TEXT] * 3, trainer)
    bare.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    state = json.loads(bare.to_str())  # the pieces for single bytes are text like any other
    state["added_tokens"] = state["added_tokens"][:3]
    bare = tokenizers.Tokenizer.from_str(json.dumps(state))
    return PreTrainedTokenizerFast(tokenizer_object=bare, bos_token="<s>", eos_token="</s>", unk_token="<unk>")
