"""Roles inside the engine: what each of the server's users may do, enforced by the engine itself.

All connections are the engine's `default` user; `SET ROLE` makes one the reader's. The embedded
engine takes roles from a configuration file only, which is written here on every start.
"""

from __future__ import annotations

from pathlib import Path

ADMINISTRATOR = "default"
READER = "reader"

CONFIGURATION = "engine.xml"
_USERS = "engine-users.xml"

_CONFIGURATION_TEXT = f"<clickhouse><users_config>{_USERS}</users_config></clickhouse>\n"
_USERS_TEXT = """\
<clickhouse>
  <profiles><default/></profiles>
  <quotas><default/></quotas>
  <roles>
    <administrator>
      <grants><query>GRANT ALL ON *.* WITH GRANT OPTION</query></grants>
    </administrator>
    <reader><grants><query>GRANT SELECT, SHOW, dictGet ON *.*</query></grants></reader>
  </roles>
  <users>
    <default>
      <password/>
      <networks><ip>::/0</ip></networks>
      <profile>default</profile>
      <quota>default</quota>
      <grants><query>GRANT administrator</query><query>GRANT reader</query></grants>
    </default>
  </users>
</clickhouse>
"""


def write_configuration(directory: Path) -> None:
    """Write the engine's configuration files into the warehouse's directory."""
    (directory / CONFIGURATION).write_text(_CONFIGURATION_TEXT)
    (directory / _USERS).write_text(_USERS_TEXT)
