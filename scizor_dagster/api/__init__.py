"""The HTTP services: one of the two doors, beside the command line.

What belongs here: turning a request into a call of `flow` and its result into an answer. What does not: any rule; the
functions that the commands of `scizor` call are the ones that the routes call.

How a route is written, by the example of `data_farmer.symbols`:

- One module for each resource in the package of its service, with `router = ApiRouter("heading")`; the package's
  `ROUTERS` names it. Paths are below `/api` by themselves: `@router.get("/symbols")`.
- A plain `def`, which runs in a thread (stores block); `async def` only for streams, and for what is asked so often
  that it is answered from what is kept without one (`data_farmer.prices`).
- Its actor comes with its rule: `actor: Annotated[Actor, Depends(require(Scope.READ, Reach.SHARED))]`. Without exactly
  one rule the route cannot be defined. `Reach` says whose it is what it shows: `SHARED`; `LISTED` (leave out what
  `actor.may_see(account)` denies, in `items`); `ACCOUNT` (the request names it: `actor.portfolio(desk, name)`,
  or `actor.require_account(account, kind, name)`, which raise the 404 that a missing one has).
- Before the function runs, the request was authenticated, rated, read, checked and noted in the audit; an
  `Idempotency-Key` is demanded of a POST with the scope `trade`, and honoured on each (`idempotency`): what it does
  must be safe to do twice. `Depends(idempotency_key)` hands it out.
- `desk: TheDesk` is the desk, `context: TheContext` everything else. Reading creates no store: ask `desk.has_lake` and
  `desk.has_ledger` first.
- What must work while the configuration is broken (to halt) takes `context.last_desk`, the newest that could be used.
- Answers and bodies are `Model`s (closed), with examples, money and quantities as `Exact` (strings). Declare
  `response_model` by the return annotation. Lists are `Page[...]` by `ThePage`. Parameters have descriptions and
  bounds; one that is not declared is refused (422).
- A file is the body itself: `file: Annotated[bytes, Depends(Upload())]` (`uploads`); no multipart.
- Errors are raised, never built: the tree of `errors`, `NotFound(kind, name)`, `RequestRefused(status=...)`,
  `wrong_field(...)`. Each route documents all statuses that errors have; one beside 200 that it answers itself
  it adds with `responses=` (`etags.DOCUMENTED`, `events.DOCUMENTED`, `documented(412)`).
- A GET of something with a version calls `etags.state(request, response, etags.tag_of(...))`; a PUT or DELETE of it
  `etags.require_match(request, tag)`.
- Long work: `context.runs.submit(RunRequest(kind, job, ...), actor.name)`, answered with 202, `run_views.accepted`
  and its model `RunView`; its progress is `return await events.stream(request, run_views.progress_of(...))` of an
  `async def` with `responses=events.DOCUMENTED`. Tests call `context.runs.wait(run_id)`.
- The tests in `tests/api/test_every_route_is_guarded.py` and `test_contract.py` take every route by themselves. One
  with a path parameter of a new name needs a value for it in `tests/api/samples.py`, and one with a body an example in
  its model; without them they fail.

FastAPI and Dagster are slow to import: of this package the command line imports `keys` and `serving` alone, inside
their commands.
"""
