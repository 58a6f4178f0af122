"""Words that full-text search passes over: the English ones, and no other language's.

With ICU words LanceDB drops the stop words of some thirty languages at once, and with them "dog" (Danish) and
"cat" (Romanian). The English list alone finds them, at no loss (ARCHITECTURE.md has the measurement).
"""

ENGLISH = """
i me my myself we our ours ourselves you your yours yourself yourselves he him his himself she her
hers herself it its itself they them their theirs themselves what which who whom this that these
those am is are was were be been being have has had having do does did doing would should could
ought a an the and but if or because as until while of at by for with about against between into
through during before after above below to from up down in out on off over under again further then
once here there when where why how all any both each few more most other some such no nor not only
own same so than too very can will just now s t
""".split()  # noqa: SIM905 (a list of words reads better as words)
