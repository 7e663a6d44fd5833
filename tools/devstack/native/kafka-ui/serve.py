"""Kaskade, a text UI for Kafka, in the browser.

/ lists what there is to see; /cluster/ shows topics, partitions, groups and lag; /topics/<name>/ shows the records of
one topic. Each browser tab has a program of its own. Topics are asked for at each request, so new ones are there.
"""

import argparse
import asyncio
import html
import shlex
import sys

import aiohttp_jinja2
import jinja2
from aiohttp import web
from confluent_kafka.admin import AdminClient
from textual_serve.server import Server

KASKADE = (sys.executable, "-c", "from kaskade.main import cli; cli()")
PAGE = """<!doctype html><meta charset="utf-8"><title>Kafka</title>
<style>body{{font:16px/1.6 system-ui,sans-serif;max-width:40rem;margin:3rem auto;padding:0 1rem}}
li{{font-family:ui-monospace,monospace}}</style>
<h1>Kafka</h1><p><a href="/cluster/">The cluster</a>: topics, partitions, groups and lag.</p>
<p>The records of a topic:</p><ul>{topics}</ul>"""


class Site:
    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.admin = AdminClient({"bootstrap.servers": options.brokers})

    def application(self) -> web.Application:
        own = Server("")
        application = web.Application()
        aiohttp_jinja2.setup(application, loader=jinja2.FileSystemLoader(own.templates_path))
        application.add_routes(
            [
                web.get("/", self.index),
                web.get("/cluster/", self.page),
                web.get("/cluster/ws", self.terminal),
                web.get("/topics/{topic}/", self.page),
                web.get("/topics/{topic}/ws", self.terminal),
                web.static("/static", own.statics_path),
            ]
        )
        return application

    async def topics(self) -> list[str]:
        known = await asyncio.to_thread(self.admin.list_topics, timeout=10)
        return sorted(name for name in known.topics if not name.startswith("__"))

    async def index(self, _: web.Request) -> web.Response:
        names = [html.escape(name) for name in await self.topics()]
        links = "".join(f'<li><a href="/topics/{name}/">{name}</a></li>' for name in names)
        return web.Response(text=PAGE.format(topics=links), content_type="text/html")

    async def page(self, request: web.Request) -> web.Response:
        context = {
            "font_size": 16,
            "app_websocket_url": f"ws://{request.host}{request.path}ws",
            "config": {"static": {"url": f"http://{request.host}/static/"}},
            "application": {"name": request.match_info.get("topic", "cluster")},
        }
        return aiohttp_jinja2.render_template("app_index.html", request, context)

    async def terminal(self, request: web.Request) -> web.StreamResponse:
        topic = request.match_info.get("topic")
        if topic is None:
            command = ["admin", "-b", self.options.brokers]
        elif topic in await self.topics():
            command = ["consumer", "-b", self.options.brokers, "-t", topic, "--earliest", "-k", "string"]
            if self.options.registry:
                command += ["-v", "registry", "--registry", f"url={self.options.registry}"]
        else:
            raise web.HTTPNotFound
        return await Server(shlex.join([*KASKADE, *command])).handle_websocket(request)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--brokers", required=True)
    parser.add_argument("--registry", default="")
    parser.add_argument("--port", type=int, required=True)
    return parser.parse_args()


if __name__ == "__main__":
    chosen = arguments()
    web.run_app(Site(chosen).application(), host="127.0.0.1", port=chosen.port, print=None)
