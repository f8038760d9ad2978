"""The demonstration: stand-ins for outside parties (FCM, certificate authority, time stamping) and what drives them.

Nothing here is used by the product. Its keys are made to be seen and its certificates have no legal value.

| module | what |
| --- | --- |
| `run` | `hoatoc demo` from beginning to end; `screen`, `judges` and `paper` are its eyes, its critics and its PDFs |
| `stage` | fresh state folder, people (`people`), settings, the embedded server; `parties`: the outside parties as processes |
| `cast` | the drivers as processes: `driver` with `qlvb`, `person` (leader, clerk), `officer`; `phone`, `caller`: what they share |
| `play` | one PDF along the road, step by step; what must be refused |
| `processes` | children that never outlive the demonstration |
| `fcm`, `pki`, `authority`, `tls`, `loopback` | the doubles |
| `front` | the server of a demonstration that keeps serving: `/demo`, and who may frame the client |
| `showcase`, `static/` | the page with both clients side by side, over HTTP; what `controls` does for its buttons, `auditor` for its log, `line` for its exchange |

With `--json` it prints one object a line, by `event`: `setup` {part, ms}, `step` {n, step, ms}, `document` (as in `summary.json`),
`verdict`, `refusal`, `summary`, `serving` {base_url, files, fingerprint, page}, `failed` {cause}. Exit code: 0 all went as it must, 1 something did
not, 2 the demonstration could not run, 130 stopped before it was through.

The state folder is temporary and goes when the demonstration ends; what `--out` names stays.
"""
