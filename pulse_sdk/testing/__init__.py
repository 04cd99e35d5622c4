"""For the tests of bots and integrations: a Pulse in memory, and models made up.

    from pulse_sdk.testing import FakePulse, factories

    def test_a_failed_post_is_sent_again_and_made_once():
        fake = FakePulse()
        bot = fake.join("bot")
        fake.lose_next("POST /api/v1/posts")
        with fake.client(bot) as client:
            client.posts.create("Hello")
            assert [post.text for post in client.posts.list()] == ["Hello"]
        assert len(fake.sent("POST /api/v1/posts", by=bot)) == 2

Have your code take its client as an argument, and give it `fake.client(…)` or
`fake.async_client(…)`; a program that makes its own runs inside `with fake.everywhere():`.
"""

from pulse_sdk.testing import factories
from pulse_sdk.testing._fake import PASSWORD, FakePulse, Person
from pulse_sdk.testing._server import Sent

__all__ = ["PASSWORD", "FakePulse", "Person", "Sent", "factories"]
