"""Skills through the official SDK, unmodified: every call that it has."""

import io
import zipfile

import openai
import pytest

NONE = {"type": "none"}


def skill_md(name: str, body: str) -> bytes:
    return f"---\nname: {name}\ndescription: Draws {name}.\n---\n{body}\n".encode()


def files(name: str, body: str):
    return [(f"{name}/SKILL.md", skill_md(name, body)), (f"{name}/scripts/draw.py", b"print('drawn')")]


def archive(name: str, body: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as packed:
        for path, content in files(name, body):
            packed.writestr(path, content)
    return buffer.getvalue()


def unpacked(content) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(content.read())) as packed:
        return {name: packed.read(name) for name in packed.namelist()}


def test_a_skill_lives_through_the_sdk(client):
    skills = client.skills
    made = skills.create(files=files("charts", "Draw."))
    assert (made.object, made.name, made.default_version, made.latest_version) == ("skill", "charts", "1", "1")
    assert made.description == "Draws charts."
    second = skills.versions.create(made.id, files=("charts.zip", archive("charts", "Draw better.")))
    assert (second.object, second.version, second.skill_id) == ("skill.version", "2", made.id)
    third = skills.versions.create(made.id, files=files("charts", "Draw best."), default=True)
    shown = skills.retrieve(made.id)
    assert (shown.default_version, shown.latest_version) == ("3", "3")
    assert skills.update(made.id, default_version="2").default_version == "2"
    assert skills.versions.retrieve("1", skill_id=made.id).name == "charts"
    assert [one.version for one in skills.versions.list(made.id, limit=2, order="asc")] == ["1", "2", "3"]
    assert [one.id for one in skills.versions.list(made.id, after=third.id)] == [
        second.id,
        skills.versions.retrieve("1", skill_id=made.id).id,
    ]

    other = skills.create(files=("tables.zip", archive("tables", "Set.")))
    listed = [one.id for one in skills.list(limit=1)]
    assert listed[:2] == [other.id, made.id], "auto-paging walks all pages, newest first"

    assert unpacked(skills.content.retrieve(made.id))["charts/SKILL.md"] == skill_md("charts", "Draw better.")
    first = unpacked(skills.versions.content.retrieve("1", skill_id=made.id))
    assert first == dict(files("charts", "Draw."))

    gone = skills.versions.delete("3", skill_id=made.id)
    assert (gone.object, gone.deleted, gone.version, gone.id) == ("skill.version.deleted", True, "3", third.id)
    with pytest.raises(openai.ConflictError):
        client.with_options(max_retries=0).skills.versions.delete("2", skill_id=made.id)
    removed = skills.delete(made.id)
    assert (removed.object, removed.deleted, removed.id) == ("skill.deleted", True, made.id)
    with pytest.raises(openai.NotFoundError):
        skills.retrieve(made.id)
    skills.delete(other.id)


def test_what_is_no_skill_is_refused_by_name(client):
    for given, what in [
        ([("charts/SKILL.md", skill_md("plots", "x"))], "the name of its folder"),
        ([("charts/SKILL.md", skill_md("charts", "x")), ("charts/../x", b"x")], "`..`"),
        ([("charts/README.md", b"x")], "SKILL.md"),
        (("charts.zip", b"no archive"), "ZIP"),
    ]:
        with pytest.raises(openai.BadRequestError) as refused:
            client.skills.create(files=given)
        assert refused.value.param == "files"
        assert what in refused.value.message


def test_a_session_is_given_skills_as_the_sdk_names_them(client, sessions):
    import base64

    made = client.skills.create(files=files("charts", "Draw."))
    inline = {
        "type": "inline",
        "name": "tables",
        "description": "Draws tables.",
        "source": {
            "type": "base64",
            "media_type": "application/zip",
            "data": base64.b64encode(archive("tables", "Set.")).decode(),
        },
    }
    reference = {"type": "skill_reference", "skill_id": made.id, "version": "latest"}
    environment = {"type": "openai_hosted", "skills": [reference, inline]}
    session = sessions.create(agent={"model": "main"}, environment=environment)
    kept, own = session.environment.skills
    assert (kept.type, kept.skill_id, kept.version, kept.name) == ("skill_reference", made.id, "1", "charts")
    assert (own.type, own.name, own.description) == ("inline", "tables", "Draws tables.")
    client.skills.delete(made.id)
