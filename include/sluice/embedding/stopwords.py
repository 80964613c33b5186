"""English words that carry no topic. Compared before stemming.

Lucene's 33, with the question words and auxiliaries that questions are made of. A longer list (also, between, most,
first, same …) cost hotpotqa_200 .013 nDCG@10 and gained cranfield .001; none at all cost both about .01.
"""

LUCENE = (
    "a an and are as at be but by for if in into is it no not of on or such "
    "that the their then there these they this to was will with"
)
QUESTIONS = "what which who how when where why from has have had been were he she his her its also does did do s t"

ENGLISH = frozenset(f"{LUCENE} {QUESTIONS}".split())
