def test_noise_of_strangers_hides_nothing_about_known_callers() -> None:
    said: list[str] = []
    complain = Complaints(said.append, lambda: 0.0)
    for _ in range(100):
        complain("a stranger")
    for _ in range(100):
        complain("an alarm", known=True)
    assert said.count("a stranger") == said.count("an alarm") == 5


def test_noise_of_strangers_hides_nothing_about_known_callers() -> None:
    said: list[str] = []
    complain = Complaints(said.append, lambda: 0.0)
    for _ in range(100):
        complain("a stranger")
    for _ in range(100):
        complain("an alarm", known=True)
    assert said.count("a stranger") == said.count("an alarm") == 5


def test_noise_of_strangers_hides_nothing_about_known_callers() -> None:
    said: list[str] = []
    complain = Complaints(said.append, lambda: 0.0)
    for _ in range(100):
        complain("a stranger")
    for _ in range(100):
        complain("an alarm", known=True)
    assert said.count("a stranger") == said.count("an alarm") == 5


def test_noise_of_strangers_hides_nothing_about_known_callers() -> None:
    said: list[str] = []
    complain = Complaints(said.append, lambda: 0.0)
    for _ in range(100):
        complain("a stranger")
    for _ in range(100):
        complain("an alarm", known=True)
    assert said.count("a stranger") == said.count("an alarm") == 5
