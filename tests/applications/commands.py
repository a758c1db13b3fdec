"""What tests of commands share."""

import signal
import subprocess
import sys

import pytest

# Trains as the command does, until it kills itself in the second epoch.
KILLED = """
import os, signal, sys
import conftest  # or TensorFlow would compute otherwise than in this process
import keras
from applications.{application} import experiment, train

class KillInSecondEpoch(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if (self.epoch, batch) == (1, 3):
            os.kill(os.getpid(), signal.SIGKILL)

others = experiment.make_callbacks
experiment.make_callbacks = lambda *a: [KillInSecondEpoch(), *others(*a)]
train.main(sys.argv[1:])
"""


def refusal(capsys, main, *arguments):
    """What a command that ends with exit code 2 says."""
    with pytest.raises(SystemExit) as stopped:
        main([str(argument) for argument in arguments])
    assert stopped.value.code == 2
    text = capsys.readouterr().err
    assert "Traceback" not in text
    return " ".join(text.split())


def train_and_be_killed(application, folder, *arguments):
    """Trains into a folder as the command does, killed in the second epoch."""
    code = KILLED.format(application=application)
    arguments = ("--output", folder, *arguments)
    done = subprocess.run([sys.executable, "-c", code, *map(str, arguments)])
    assert done.returncode == -signal.SIGKILL
    assert not (folder / "metrics.json").exists()
