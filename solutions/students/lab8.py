"""The sample class of lab 8: every kind of hand-in that the grader must get right, over both tasks."""

from datetime import timedelta

from students import cwgan, vanilla
from students.work import Student, Work, body

ESSAY = """# What I take away

Training two networks against each other is a game without a scoreboard: the losses said little, the pictures everything. The
Wasserstein critic's difference of scores was the first curve that I could read. What surprised me most is how much the class label helps.
"""

UNTOUCHED = Work(checkpoint=None, untouched=True)


def _generate(text: str) -> dict[str, str]:
    return {"generate": body(text)}


CRASH = _generate("""
    z = torch.randn(n, noise_dim, device=device)
    images = trained_generator(z)
    return images["digits"]
""")

ENDLESS = _generate("""
    images = []
    while len(images) < n:
        z = torch.randn(1, noise_dim)
    return images
""")

WRONG_SHAPE = _generate("""
    return (trained_generator(torch.randn(n, noise_dim, device=device)) + 1) / 2
""")

NAN = _generate("""
    images = trained_generator(torch.randn(n, noise_dim, device=device))[:, 0]
    return torch.log(images) - torch.log(images)
""")

CLASS: tuple[Student, ...] = (
    Student("01-reference", Work(solution=True), Work(solution=True), essay=ESSAY),
    Student("02-typical", cwgan=Work(link="good"), essay=ESSAY),
    Student("03-mid-training", Work("mid"), Work("mid"), essay=ESSAY, late=timedelta(hours=20)),
    Student("04-early", Work("early"), Work("early")),
    Student("05-collapsed-and-blind", Work(bodies={"generate": vanilla.COLLAPSED}), Work(bodies={"generate": cwgan.LABEL_BLIND})),
    Student("06-noise-and-swapped", Work(bodies={"generate": vanilla.NOISE}), Work(bodies={"generate": cwgan.LABEL_SWAPPED})),
    Student("07-untouched-and-flipped", UNTOUCHED, Work("flipped", bodies=cwgan.SIGN_FLIPPED)),
    Student("08-edited", Work(edit=vanilla.edit_given), Work(edit=vanilla.delete_markers, bodies=cwgan.BATCH_NORM)),
    Student("09-crash-in-one", Work(bodies=CRASH)),
    Student("10-endless-and-dead-link", Work(bodies=ENDLESS), Work(link="gone")),
    Student("11-shape-and-html-page", Work(bodies=WRONG_SHAPE), Work(link="page")),
    Student("12-nan-and-quota", Work(bodies=NAN), Work(link="quota")),
    Student("13-tanh-and-cuda", Work(bodies=vanilla.TANH_RANGE), Work(bodies={"generate": cwgan.HARD_CUDA})),
    Student("14-prints-100", Work(bodies={"helpers": vanilla.CHEAT}), Work(bodies={"helpers": vanilla.CHEAT})),
    Student(
        "15-real-images",
        Work("memorised", bodies={"generator_layers": vanilla.MEMORISED_LAYERS, "generate": vanilla.MEMORISED}),
        Work(checkpoint=None),
    ),
    Student("16-pair-a", essay=ESSAY, group=("16-pair-a", "16-pair-b")),
)
"""By number, with what is special about vanilla and about cwgan in the name."""
