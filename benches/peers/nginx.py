"""nginx as a complete keep-alive proxy: the floor under every gateway.

Deliberately tuned as far as its manual goes; a slow floor would flatter us.
"""

from __future__ import annotations

import re
import shutil
import subprocess

from benches.contender import Kind, Launch, Site

CONFIG = """
daemon off;
worker_processes 1;
pid {folder}/pid;
error_log {folder}/error.log error;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  tcp_nodelay on;
  keepalive_timeout 600s;
  keepalive_requests 1000000000;
  client_body_buffer_size 1m;
  client_max_body_size 64m;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  upstream mock {{
    server 127.0.0.1:{upstream};
    keepalive 512;
    keepalive_requests 1000000000;
    keepalive_timeout 600s;
  }}
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://mock;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_buffering {buffering};
    }}
  }}
}}
"""
PATHS = "/usr/sbin:/usr/bin:/sbin:/usr/local/sbin:/usr/local/bin"


def _absent() -> str | None:
    return None if shutil.which("nginx", path=PATHS) else "install Debian's nginx-light"


def _pin() -> str:
    program = shutil.which("nginx", path=PATHS)
    if program is None:
        return "absent"
    said = subprocess.run([program, "-v"], capture_output=True, text=True, check=True).stderr
    found = re.search(r"nginx/(\S+)", said)
    return found.group(1) if found else said.strip()


def _launch(site: Site) -> Launch:
    program = shutil.which("nginx", path=PATHS) or "nginx"
    config = site.write(
        "nginx.conf",
        CONFIG.format(
            folder=site.folder,
            upstream=site.upstream.port,
            port=site.port,
            buffering="off" if site.scenario.stream else "on",
        ),
    )
    return Launch(command=[program, "-p", str(site.folder), "-c", str(config), "-e", "stderr"])


KIND = Kind("nginx", _pin(), _absent, _launch, note="a proxy, no gateway: the floor")
