"""Options of ``synergy analyze`` about how files of attention and graphs are read."""

from __future__ import annotations

import click

from synergy_tui.commands.arguments import file_option, with_options

NAMES = (
    "axes", "mask", "lengths", "span", "sink", "labels", "learned_sinks", "undirected",
    "matrix_rows",
)  # fmt: skip
"""Parameters of the command that these options are."""

reading_options = with_options(
    click.option(
        "--axes",
        metavar="L,B,H,n,n",
        help="What the axes of attention are: B inputs, L layers, H heads, queries, keys; of --qk "
        "as in B,n,H,d.  [default: by the file's names and padding, and said; refused where two "
        "fit]",
    ),
    click.option(
        "--mask",
        metavar="FILE",
        help="A tokenizer's attention mask: zeros and ones, one input per line.",
    ),
    click.option(
        "--lengths", metavar="N,…|FILE", help="How many tokens each input has, the first ones."
    ),
    click.option("--range", "span", metavar="A:B", help="Only tokens A to B - 1 of every input."),
    click.option(
        "--sink",
        metavar="NODE",
        help="The sink: a token's number, or a node's name.  [default: the last]",
    ),
    file_option(
        "--labels",
        help="The tokens' texts, one per line or a JSON list, to be shown beside their numbers.",
    ),
    click.option(
        "--learned-sinks",
        is_flag=True,
        help="Rows sum to less than one (GPT-OSS): a node before token 0 that is only "
        "heard has the rest.",
    ),
    click.option(
        "--undirected",
        type=click.Choice(["error", "order"]),
        default="error",
        show_default=True,
        help="Undirected edges: refuse, or send from the node listed first.",
    ),
    click.option(
        "--matrix-rows",
        type=click.Choice(["receivers", "senders"]),
        default="receivers",
        show_default=True,
        help="What rows of graph matrices are (networkx: senders).",
    ),
)
