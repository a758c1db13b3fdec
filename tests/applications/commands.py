"""What tests of commands share."""

import pytest


def refusal(capsys, main, *arguments):
    """What a command that ends with exit code 2 says."""
    with pytest.raises(SystemExit) as stopped:
        main([str(argument) for argument in arguments])
    assert stopped.value.code == 2
    text = capsys.readouterr().err
    assert "Traceback" not in text
    return " ".join(text.split())
