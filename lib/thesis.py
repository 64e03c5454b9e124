"""Every claim of the thesis in our own words, with its source and the rule that judges it."""

from lib.rules import Claim, Condition

_PRESENTATION = "excess of the presentation cosine over random W"
_AVERAGED = "cosine of odor-averaged updates"
CLAIMS = {
    claim.id: claim
    for claim in (
        Claim(
            "A1",
            "A local Hebbian rule, learning online from odors, builds sparse inter-hemispheric projections that "
            "suffice for bilateral alignment.",
            "thesis, arXiv",
            (
                Condition("novel drive alignment at density .2 over that at density 1", at_least=0.85),
                Condition("shuffled drive alignment at density .2", above=-0.1, below=0.1, control=True),
                Condition("online drive alignment over that of the fixed point", at_least=0.95, at_most=1.05),
            ),
            "each at the chapter's default size",
        ),
        Claim(
            "A2",
            "Inverse scaling: more cortical neurons allow sparser projections.",
            "thesis, arXiv",
            (Condition("slope of log required density on log N", at_least=-1.1, at_most=-0.9, interval=True),),
            "where density is required for a novel drive alignment of .5 and P/D is fixed",
        ),
        Claim(
            "A3",
            "A larger bulb-to-cortex expansion ratio allows a sparser projection.",
            "APS 2023",
            (Condition("slope of log required density on log N/D", at_least=-1.1, at_most=-0.9, interval=True),),
            "where density is required for a novel drive alignment of .5, D varies and P/D is fixed",
        ),
        Claim(
            "A4",
            "Alignment grows as the square root of projection density while it is low.",
            "APS 2023",
            (
                Condition(
                    "exponent of drive alignment on density where r < .3, k >= 10",
                    at_least=0.43,
                    at_most=0.53,
                    interval=True,
                ),
            ),
        ),
        Claim(
            "A5",
            "Speed and accuracy of the online rule trade off linearly.",
            "arXiv",
            (
                Condition("relative curvature of 1/r^2 - 1 against learning rate", above=-0.1, below=0.1),
                Condition("relaxation time times learning rate", at_least=0.9, at_most=1.1),
            ),
            "where the curvature is that of a quadratic fit over a decade of learning rates",
        ),
        Claim(
            "A6",
            "Stochastic gradient descent reaches the same alignment with modestly sparser connectivity, and "
            "shows the same inverse scaling.",
            "arXiv",
            (
                Condition("required density, Hebbian over SGD", above=1, at_most=2),
                Condition("slope of log required density on log N, SGD", at_least=-1.1, at_most=-0.9, interval=True),
            ),
            "where both rules are judged by novel response alignment and P/D is fixed",
        ),
        Claim(
            "A7",
            "Hebbian and gradient update vectors align throughout learning.",
            "thesis, arXiv",
            tuple(
                Condition(f"{quantity}, {when}", above=0, interval=True)
                for quantity in (_PRESENTATION, _AVERAGED)
                for when in ("at the first checkpoint", "smallest along learning")
            ),
            "where the random W has equal output power on the same mask",
        ),
        Claim(
            "B1",
            "The alignment of the two rules' updates depends on the network's parameters as a calculation says.",
            "thesis, chapter 2; the form is ours",
            (
                Condition("largest gap between the one-odor cosine at matched gain and sqrt(1 - rho^2)", at_most=0.05),
                Condition("smallest cosine of odor-averaged updates over all settings", above=0, interval=True),
                Condition("largest gap of the odor-averaged cosine from its closed form, linear codes", at_most=0.05),
                Condition(
                    "decrease of the SGD loss along Hebb over its first-order prediction", at_least=0.9, at_most=1.1
                ),
            ),
            "where one parameter at a time leaves the default network and the weights follow gradient descent",
        ),
        Claim(
            "B2",
            "Recurrent cortical connections, as in a Hopfield network, may improve alignment.",
            "thesis, chapter 2",
            (
                Condition("gain in novel response alignment by recurrence, density .05", above=0, interval=True),
                Condition(
                    "density needed for a novel response alignment of .5, without recurrence over with",
                    above=1,
                    interval=True,
                ),
                Condition("the same gain with shuffled recurrent weights", above=-1, below=0.05, control=True),
            ),
            "where recurrence is one step of gain 1 at the chapter's default size",
        ),
        Claim(
            "B3",
            "That design resembles Titans, a learned memory beside attention.",
            "thesis, chapter 2",
            (
                Condition("relative distance of Titans without prediction from online Hebb", below=1e-6),
                Condition("relative distance of Titans without momentum and forgetting from online SGD", below=1e-6),
                Condition(
                    "recall beyond the window, memory and attention less attention alone", above=0, interval=True
                ),
                Condition("recall of all pairs, memory and attention less memory alone", above=0, interval=True),
            ),
            "the first two on one stream of codes, the others in a key-value task with trained models",
        ),
        Claim(
            "B4",
            "Hebbian learning has dynamical properties of its own: one relaxation time for all that it learns, "
            "fluctuations that the learning rate sets, and a speed that trades off with accuracy.",
            "thesis, chapter 2; arXiv; the form is ours",
            (
                Condition("relaxation time of the slowest mode over the fastest, Hebb", at_least=0.9, at_most=1.1),
                Condition(
                    "slope of log half-learning time on log mode strength, SGD",
                    at_least=-1.1,
                    at_most=-0.9,
                    interval=True,
                ),
                Condition("settled variance of the Hebbian weights over its closed form", at_least=0.9, at_most=1.1),
                Condition("settled excess error times relaxation time over its closed form", at_least=0.9, at_most=1.1),
                Condition("rate of forgetting an old environment over the learning rate", at_least=0.9, at_most=1.1),
                Condition("largest distance of a two-layer network's mode from Saxe's curve", below=0.02, control=True),
            ),
            "linear codes where a closed form needs them; a mode's course is the mean over streams of odors, the "
            "excess error that over the same network's mean weights, a distance in units of the mode's strength",
        ),
        Claim(
            "B5",
            "The landscape of Hebbian learning is simple, and its solution is unique.",
            "thesis, chapter 2; APS 2023",
            (
                Condition("distance between Hebbian solutions from different starts over their norm", below=0.01),
                Condition("largest distance of a Hebbian Hessian eigenvalue from 1", below=1e-6),
                Condition("barrier of the SGD loss between the two rules' solutions over that loss", at_most=1e-6),
                Condition(
                    "slope of log variance on log curvature, online least squares",
                    at_least=-0.1,
                    at_most=0.1,
                    interval=True,
                ),
            ),
            "the last with linear codes and fewer inputs than glomeruli, where every direction relaxes in the run",
        ),
        Claim(
            "C1",
            "A similar inverse scaling holds in the attention matrices of Transformers.",
            "thesis",
            (
                Condition("slope of log density on log context length", at_most=-0.5, interval=True),
                Condition("that slope less the one of Gaussian logits of the same variance", below=0, interval=True),
                Condition("slope of log density on log model width", below=0, interval=True),
                Condition(
                    "slope of log density on log context length, independent Gaussian logits of variance 1",
                    above=-0.1,
                    below=0.1,
                    control=True,
                ),
            ),
            "where density is the smallest share of keys that holds 90 % of a query's attention, the first key (the "
            "sink) left out and the rest renormalised, mean over heads, layers and texts; context from 16 tokens to "
            "the trained 256 in our Llama-2 style, widths of that style at context 256",
        ),
        Claim(
            "C2",
            "More than half of the parameters of Llama-2 and of Llama-3 can be pruned.",
            "thesis",
            tuple(
                Condition(f"{quantity}, {style} style", above=0.5, interval=True)
                for quantity in (
                    "share of block weights pruned at 1.1 x the dense perplexity",
                    "share of block weights pruned at .9 x the dense recall",
                    "share of all parameters pruned at 1.1 x the dense perplexity",
                )
                for style in ("Llama-2", "Llama-3")
            ),
            "with SparseGPT, in our trained models; the share at which the ratio, read between the sparsities "
            "measured, first passes its bound; of all parameters: that of block weights times their part in "
            "Llama-2-7B (.961) and in Llama-3-8B (.869), for in a model as small as ours the embeddings weigh more",
        ),
        Claim(
            "C3",
            "Up to 60 % of the weights of Llama-2-7B go without a significant loss of language modelling.",
            "Liu and Xu",
            (
                Condition("perplexity over dense at 60 % of block weights, SparseGPT", at_most=1.1, interval=True),
                Condition("logarithm of the same with a random mask", above=0.1, interval=True, control=True),
            ),
            "in our trained models of Llama-2 style",
        ),
        Claim(
            "C4",
            "At its sparsity limit Llama-3 makes fewer factual errors than Llama-2 at its own.",
            "thesis",
            tuple(
                Condition(f"factual errors at the limit, Llama-3 less Llama-2 style, {method}", below=0, interval=True)
                for method in ("magnitude", "Wanda", "SparseGPT")
            ),
            "where the limit is 1.1 x the dense perplexity and an error is a wrong answer to a question about a fact "
            "that training showed",
        ),
        Claim(
            "C5",
            "Llama-3 has to keep more of its parameters, presumably because of its training settings and data.",
            "thesis",
            (
                Condition("share kept at 1.1 x the perplexity, Llama-3 less Llama-2 style", above=0, interval=True),
                Condition("share kept at .9 x the recall, Llama-3 less Llama-2 style", above=0, interval=True),
                Condition("share kept at 1.1 x the perplexity, three times the facts less one", above=0, interval=True),
                Condition(
                    "share kept at 1.1 x the perplexity, Llama-3 style less its architecture and tokenizer alone",
                    above=0,
                    interval=True,
                ),
            ),
            "a share of block weights, with SparseGPT, in our trained models",
        ),
        Claim(
            "C6",
            "A protocol tells forgetting from hallucination in the pruned model; its details are not public, so "
            "ours is our own.",
            "Liu and Xu",
            (
                Condition("share of planted cases named rightly, the worst kind", at_least=0.9),
                Condition(
                    "savings in relearning, facts judged retrieval failures less facts judged forgotten",
                    above=0,
                    interval=True,
                ),
                Condition(
                    "share of the dense model's answers on people never seen that count as kept",
                    above=-1,
                    below=0.05,
                    control=True,
                ),
            ),
            "the planted cases, and the relearning of what SparseGPT took at 70 % of block weights, in our trained "
            "models of Llama-2 style",
        ),
        Claim(
            "D1",
            "In mice, the two nostrils' responses of a neuron correlate, identity decoding transfers from one side "
            "to the other, and the side stays decodable.",
            "Grimaud et al.",
        ),
    )
}
