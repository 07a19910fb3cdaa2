"""Advice for missing packages: one line that says what to do."""

import sys
from types import SimpleNamespace

import pytest

from actors.experts.planners.procgen_clones import ProcgenClones
from gato_dist.cli.main import main
from gato_dist.utils import missing_packages as missing
from gato_dist.utils.missing_packages import INSTALL_CLONES, require_reverb, wheel_advice

CONFIG = "name: t\ntasks: [{name: metaworld/reach-v3}]\n"


@pytest.mark.parametrize(
    ("version", "says"), [((3, 11, 7), "pip install 'gato-dist[live]'"), ((3, 13, 0), "needs Python 3.11")]
)
def test_a_live_run_without_reverb_is_refused_with_advice_for_this_python(tmp_path, monkeypatch, capsys, version, says):
    (tmp_path / "t.yaml").write_text(CONFIG)
    monkeypatch.setitem(sys.modules, "reverb", None)
    monkeypatch.setattr(missing, "sys", SimpleNamespace(version_info=version))
    assert main(["train", str(tmp_path / "t.yaml"), "--run", str(tmp_path / "run")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert says in line
    assert not (tmp_path / "run").exists()


def test_an_installed_reverb_is_accepted():
    pytest.importorskip("reverb")
    require_reverb()


def test_a_missing_procgen_library_is_reported_with_its_install_command(monkeypatch):
    monkeypatch.setitem(sys.modules, "gym3", None)
    with pytest.raises(ImportError) as caught:
        ProcgenClones("coinrun", 1, 0)
    assert INSTALL_CLONES in str(caught.value)


def test_an_error_with_advice_gets_no_second_advice(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "gym3", None)
    main(["collect", "--tasks", "procgen/coinrun", "--episodes", "1", "--out", str(tmp_path)])
    assert capsys.readouterr().err.count("pip install") == 1


@pytest.mark.parametrize(("version", "says"), [((3, 12, 1), "pip install"), ((3, 13, 0), "no wheel after Python 3.12")])
def test_pip_is_advised_only_if_there_is_a_wheel(monkeypatch, version, says):
    monkeypatch.setattr(missing, "sys", SimpleNamespace(version_info=version))
    assert says in wheel_advice((3, 12))
