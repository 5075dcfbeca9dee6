import pytest

from cspn_tf.models import backbones


@pytest.fixture
def asked_network(monkeypatch):
    """A function that calls another and returns the name, size and weights of the backbone it asks for, unbuilt."""

    class Asked(Exception):
        pass

    def network(*args):
        raise Asked(*args)

    def ask(build, *args, **options):
        monkeypatch.setattr(backbones, "_network", network)
        with pytest.raises(Asked) as caught:
            build(*args, **options)
        return caught.value.args

    return ask
