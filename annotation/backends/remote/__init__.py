"""Vision-Language Models behind HTTP: vLLM, SGLang, OpenRouter, Replicate and the like.

`configuration` says which servers there are, `dialects` and `replicate` how each is
spoken to, `transport` carries one exchange, `server` asks one of them until it answers,
as its `abilities` and its `standing` allow, `annotator` asks about many photos at once
and goes on to the next server.
"""
