"""`pulse bench`: drive a running stack with Locust, measure all its targets, judge them.

- `options`: what the caller asks, and the plans that follow
- `plan`: what one run is (users, pacing, window, identities), told to each generator
- `pacing`: when each user sends: constant period, random phase, ramp
- `generator`: the process that is Locust: users of a scenario, every sample kept in `samples`
- `drive`: starts generators and the gateway probe, gathers what they send
- `floor`: a trivial server, to measure what the generator itself adds
- `probe`: the process that measures the gateway's overhead in pairs
- `identities`: seeded users and their tokens, logged in before the run
- `scrape`: what services say of themselves, over the measured window
- `processes`: CPU time of the stack's processes
- `run`: the order of all that; `watch` shows it while it happens
- `statistics`: exact percentiles, bootstrap intervals, exact binomial bounds
- `measure`: from samples and snapshots to the parts of the report
- `judge`: from measurements and targets to checks and the verdict
- `summary`: all of it together as the `report`, which `table` shows to people
"""
