from rich.console import Console

from pulse_cli.output import plain_table

PATH = "/a/folder/with/a/name/that/is/longer/than/the/terminal/is/wide"


def lines(width: int) -> list[str]:
    rows = [("posts-0", "12.5", PATH), ("notifications-0", "1,104.0", "two words")]
    console = Console(width=width, color_system=None)
    with console.capture() as capture:
        console.print(plain_table(("NAME", "MS", "SAID"), rows))
    return capture.get().splitlines()


def test_numbers_stand_on_the_right() -> None:
    head, first, second = lines(200)
    assert head.index("MS") + 2 == first.index("12.5") + 4 == second.index("1,104.0") + 7


def test_nothing_is_left_out_on_a_narrow_terminal() -> None:
    shown = lines(50)
    assert "".join(line[26:].strip() for line in shown[1:]).startswith(PATH)
    assert any(line.startswith("notifications-0 ") for line in shown)
