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
            "How the alignment of the two rules' updates depends on the network's parameters.",
            "thesis, chapter 2",
        ),
        Claim(
            "B2",
            "Recurrent cortical connections, as in a Hopfield network, may improve alignment.",
            "thesis, chapter 2",
        ),
        Claim("B3", "That design resembles Titans, a learned memory beside attention.", "thesis, chapter 2"),
        Claim("B4", "Hebbian learning has dynamical properties of its own.", "thesis, chapter 2"),
        Claim(
            "B5",
            "The landscape of Hebbian learning is simple, and its solution is unique.",
            "thesis, chapter 2; APS 2023",
        ),
        Claim("C1", "A similar inverse scaling holds in the attention matrices of Transformers.", "thesis"),
        Claim("C2", "More than half of the parameters of Llama-2 and of Llama-3 can be pruned.", "thesis"),
        Claim(
            "C3",
            "Up to 60 % of the weights of Llama-2-7B go without a significant loss of language modelling.",
            "Liu and Xu",
        ),
        Claim("C4", "At its sparsity limit Llama-3 makes fewer factual errors than Llama-2 at its own.", "thesis"),
        Claim(
            "C5",
            "Llama-3 has to keep more of its parameters, presumably because of its training settings and data.",
            "thesis",
        ),
        Claim(
            "C6",
            "A protocol tells forgetting from hallucination in the pruned model; its details are not public, so "
            "ours is our own.",
            "Liu and Xu",
        ),
        Claim(
            "D1",
            "In mice, the two nostrils' responses of a neuron correlate, identity decoding transfers from one side "
            "to the other, and the side stays decodable.",
            "Grimaud et al.",
        ),
    )
}
