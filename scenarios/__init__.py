"""What the users of a bench do: one module per scenario, each with its class `Scenario`.

    mixed      65 % home feed, 15 % a user's posts, 20 % new post
    platform   every service: accounts, posts, likes, follows, messages, events, notifications

A scenario only says what its users do and how often. When they send, what is measured and how it
is judged belong to `pulse_cli.bench`.
"""
