# %%
# ruff: noqa
class Evil(np.ndarray):
    def astype(self, *arguments, **options):
        return np.ones(self.shape)

    def tofile(self, *arguments):
        raise OSError("no")

    def __array_finalize__(self, source):
        pass


def generate(n):
    return np.random.rand(n, 2, 2).view(Evil)
