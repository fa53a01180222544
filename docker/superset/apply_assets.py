"""Runs inside Superset's own environment: migrate, administrator, roles, import, prune, publish.

One process, because each start of Superset takes six to ten seconds. Standard input is the compiled
assets as JSON, `{path: content}`; the last line of standard output says what there is now, as JSON.
Import, prune and publish are one transaction: all of it happens, or nothing does.
"""

import json
import os
import sys
from pathlib import Path

ADMINISTRATOR = "admin"
MARK = "stock-platform"
"""`external_url` of what this script imported; what a user made has another one, and stays."""


def main() -> None:
    """Bring Superset's metadata to the assets of standard input."""
    contents = json.load(sys.stdin)
    from superset.app import create_app

    app = create_app()
    with app.app_context():
        prepared = _prepare()
        done = _apply(contents)
    sys.stdout.write(json.dumps({"prepared": prepared, **done}, sort_keys=True) + "\n")


def _prepare() -> bool:
    """Migrations and roles where this version of Superset has not been prepared yet."""
    from importlib.metadata import version

    from sqlalchemy import inspect
    from superset import db
    from superset.extensions import appbuilder, security_manager
    from werkzeug.security import check_password_hash

    stamp = Path(os.environ["SUPERSET_HOME"]) / "prepared"
    config = Path(__file__).with_name("superset_config.py").read_text()
    wanted = f"{version('apache-superset')}\n{config}"
    migrated = inspect(db.engine).has_table("alembic_version")
    fresh = not migrated or not stamp.exists() or stamp.read_text() != wanted
    if fresh:
        import superset
        from flask_migrate import upgrade

        upgrade(directory=str(Path(superset.__file__).parent / "migrations"))
        appbuilder.add_permissions(update_perms=True)
        security_manager.sync_role_definitions()
    password = os.environ["SUPERSET_ADMIN_PASSWORD"]
    user = security_manager.find_user(ADMINISTRATOR)
    if user is None:
        role = security_manager.find_role("Admin")
        made = security_manager.add_user(
            ADMINISTRATOR, "Platform", "Administrator", "admin@localhost", role, password=password
        )
        if not made:
            raise SystemExit("Superset did not create the administrator: see the lines above")
    elif not check_password_hash(user.password, password):  # the file or variable says another
        security_manager.reset_password(user.id, password)
    stamp.write_text(wanted)
    return fresh


def _apply(contents: dict[str, str]) -> dict:
    import yaml
    from superset import db
    from superset.commands.exceptions import CommandInvalidError
    from superset.commands.importers.v1.assets import ImportAssetsCommand
    from superset.connectors.sqla.models import SqlaTable
    from superset.extensions import security_manager
    from superset.models.core import Database
    from superset.models.dashboard import Dashboard
    from superset.models.slice import Slice
    from superset.utils.core import override_user
    from superset.utils.decorators import transaction

    kinds = {"dashboards": Dashboard, "charts": Slice, "datasets": SqlaTable, "databases": Database}
    marked, wanted = {}, {kind: set() for kind in kinds}
    for path, text in contents.items():
        content = yaml.safe_load(text)
        kind = path.split("/")[0]
        if kind in kinds:
            content |= {"is_managed_externally": True, "external_url": MARK}
            wanted[kind].add(content["uuid"])
        marked[path] = yaml.safe_dump(content)

    def ours(kind: str) -> list:
        model = kinds[kind]
        return db.session.query(model).filter_by(external_url=MARK).order_by(model.id).all()

    @transaction()
    def run() -> list[str]:
        ImportAssetsCommand(marked).run()
        pruned = []
        for kind in kinds:
            for item in ours(kind):
                if str(item.uuid) in wanted[kind]:
                    continue
                if kind == "datasets" and any(c.external_url != MARK for c in item.slices):
                    item.external_url = (
                        None  # a user's chart reads it: it is the user's from now on
                    )
                    continue
                if kind == "databases" and item.tables:
                    continue
                pruned.append(f"{kind}/{item}")
                db.session.delete(item)
        db.session.flush()
        public = security_manager.find_role("Public")
        for dashboard in ours("dashboards"):
            dashboard.roles = [public] if dashboard.published else []
        return pruned

    with override_user(security_manager.find_user(ADMINISTRATOR)):
        try:
            pruned = run()
        except CommandInvalidError as error:
            raise SystemExit(
                f"Superset refuses the assets: {error.normalized_messages()}"
            ) from None
    return {
        "pruned": pruned,
        "ids": {kind: {str(item.uuid): item.id for item in ours(kind)} for kind in kinds},
        "counts": {kind: len(ours(kind)) for kind in kinds},
    }


if __name__ == "__main__":
    main()
