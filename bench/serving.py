#!/usr/bin/env python3
"""Load tandem serve and llama-server with the same requests, in turn, and print them side by side.

Both servers run on the same machine and the same GGUF file with the same threads and slots, and
only one of them runs at any time: the other is stopped with SIGSTOP. Each scenario is measured on
one server and at once on the other, round after round, so that whatever the machine does slowly
(clock, neighbours) meets both alike; the ratio is taken within each such pair.

The client only stores what arrives with its arrival time and parses it after the measurement:
it shares the cores with the server it measures. docs/benchmarks.md says what each row means.
Python 3.11, standard library only.
"""

import argparse
import asyncio
import bisect
import contextlib
import dataclasses
import hashlib
import http.client
import itertools
import json
import math
import os
import pathlib
import platform
import random
import resource
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

SLOTS = 32  # requests a server may run at once: the largest scenario
CONTEXT = 2048  # tokens per slot: holds the long prompt, and a chat's prompt with its answer
SHORT_WORDS, LONG_WORDS = 100, 1000
ANSWER_TOKENS = 64
LONG_ANSWER_TOKENS = 16  # of the long prompts: their first token is what counts
CHAT_TOKENS = 1024  # of the four chats: long enough that most of the window is inside a stream
CHATS, ARRIVAL_SECONDS, WINDOW_SECONDS = 4, 1.5, 15.0
REQUESTS_PER_USER = {1: 4, 8: 2, 32: 1}  # a slow server needs about a minute for the largest
REQUEST_LIMIT = 600.0  # seconds; a request that takes longer counts as failed
ATTEMPTS = 5  # of a turn that other processes disturb; the last one counts in any case
READY_LIMIT = 120.0  # seconds from exec to /health 200


# ---- prompts ------------------------------------------------------------------------------------

ARTICLES = "the a this that every another one".split()
ADJECTIVES = (
    "old quiet narrow green distant heavy bright patient hollow early wooden salty gentle broken "
    "northern curious silver muddy tall warm empty proud simple careful lonely frozen busy golden"
).split()
NOUNS = (
    "river harbour teacher lantern garden engine letter mountain baker window orchard captain "
    "bridge market winter story island clock painter road kitchen forest ship bell neighbour "
    "meadow library horse valley stone train village doctor candle field storm tower child"
).split()
VERBS = (
    "follows carries remembers crosses repairs finds watches leaves answers measures opens paints "
    "hears builds gathers loses visits changes describes keeps teaches counts reaches surprises"
).split()
JOINTS = "and while because although before after until whenever since so".split()


def prompt(words, *key):
    """Text of so many words that depends only on its key. Two keys differ from the first word
    on, so that no prefix cache serves one from the other."""
    rng = random.Random("/".join(map(str, key)))
    text = [f"{rng.randrange(10**6, 10**7)}:"]
    while len(text) < words:
        parts = (ARTICLES, ADJECTIVES, NOUNS, VERBS, ARTICLES, ADJECTIVES, NOUNS, JOINTS)
        text += [rng.choice(part) for part in parts]
    return " ".join(text[:words]) + "."


# ---- one request --------------------------------------------------------------------------------


class Stream(asyncio.Protocol):
    """A streaming chat request on its own connection. Keeps every read with its time, unparsed."""

    def __init__(self, server, text, tokens):
        body = json.dumps(
            {
                "model": server.model_id,
                "messages": [{"role": "user", "content": text}],
                "max_tokens": tokens,
                "temperature": 0,
                "ignore_eos": True,
                "stream": True,
                "stream_options": {"include_usage": True},
            }
        ).encode()
        self.request = (
            b"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n"
            b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
        ) + body
        self.port = server.port
        self.tokens = tokens
        self.reads = []
        self.sent = 0.0
        self.transport = None
        self.closed = asyncio.get_running_loop().create_future()

    async def run(self):
        """Send, and return when the server has closed the connection or the limit has passed."""
        self.sent = time.perf_counter()  # connecting belongs to the time to first token
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(REQUEST_LIMIT):
                await loop.create_connection(lambda: self, "127.0.0.1", self.port)
                await self.closed
        except (OSError, TimeoutError):
            self.abort()
        return self

    def abort(self):
        if self.transport is not None:
            self.transport.abort()

    def connection_made(self, transport):
        self.transport = transport
        transport.write(self.request)

    def data_received(self, data):
        self.reads.append((time.perf_counter(), data))

    def connection_lost(self, exc):
        if not self.closed.done():
            self.closed.set_result(None)


@dataclasses.dataclass
class Answer:
    sent: float
    times: list  # arrival of each chunk that carries text; role and empty chunks do not count
    tokens: int  # as the server's usage says, else the number of those chunks
    error: str  # empty for a whole answer of the length asked for

    @property
    def ttft(self):
        return self.times[0] - self.sent if self.times else float("nan")


def unchunk(raw, start):
    """Body of a chunked response, and for each piece where it begins in body and in raw."""
    body, pieces = bytearray(), []
    while (line_end := raw.find(b"\r\n", start)) >= 0:
        size = int(raw[start:line_end].split(b";")[0] or b"0", 16)
        if size == 0:
            break
        pieces.append((len(body), line_end + 2))
        body += raw[line_end + 2 : line_end + 2 + size]
        start = line_end + 2 + size + 2
    return bytes(body), pieces


def parse(stream):
    """The answer in what a stream has read so far; also usable while it still runs."""
    raw = b"".join(data for _, data in stream.reads)
    ends = list(itertools.accumulate(len(data) for _, data in stream.reads))
    head_end = raw.find(b"\r\n\r\n")
    if head_end < 0:
        return Answer(stream.sent, [], 0, "no response")
    head = raw[:head_end].lower()
    if head.split(b" ")[1] != b"200":
        return Answer(stream.sent, [], 0, raw[:400].decode(errors="replace"))
    if b"transfer-encoding: chunked" in head:
        body, pieces = unchunk(raw, head_end + 4)
    else:
        body, pieces = raw[head_end + 4 :], [(0, head_end + 4)]
    starts = [piece[0] for piece in pieces]
    times, tokens, error, done, at = [], None, "", False, 0
    while (event_end := body.find(b"\n\n", at)) >= 0:
        event, at = body[at:event_end].strip(), event_end + 2
        if not event.startswith(b"data:"):
            continue  # a comment that keeps the connection alive
        data = event[5:].strip()
        if data == b"[DONE]":
            done = True
            break
        chunk = json.loads(data)
        if "error" in chunk:
            error = json.dumps(chunk["error"])
        if chunk.get("usage"):
            tokens = chunk["usage"]["completion_tokens"]
        for choice in chunk.get("choices", ()):
            delta = choice.get("delta", {})
            if delta.get("content") or delta.get("reasoning_content"):
                # The event has arrived when its last byte has.
                body_start, raw_start = pieces[bisect.bisect_right(starts, event_end + 1) - 1]
                last = raw_start + event_end + 1 - body_start
                times.append(stream.reads[bisect.bisect_right(ends, last)][0])
    if tokens is None:
        tokens = len(times)
    if not error and not done:
        error = "stream ended without [DONE]"
    if not error and tokens != stream.tokens:
        error = f"{tokens} tokens instead of {stream.tokens}"
    return Answer(stream.sent, times, tokens, error)


# ---- servers ------------------------------------------------------------------------------------


def group_stats(group):
    """The fields of /proc/PID/stat after the command name, of every process of a group."""
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                stat = pathlib.Path(entry.path, "stat").read_text().rpartition(") ")[2].split()
                if int(stat[2]) == group:
                    yield stat


class Server:
    """One server process group; `command(port)` gives its argument vector."""

    def __init__(self, name, command, log_dir):
        self.name = name
        self.command = command
        self.log = pathlib.Path(log_dir, f"{name}.log")
        self.process = None
        self.port = 0
        self.model_id = ""

    def start(self):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command(self.port),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def get(self, path):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def wait_ready(self):
        limit = time.perf_counter() + READY_LIMIT
        while True:
            with contextlib.suppress(OSError, http.client.HTTPException):
                if self.get("/health")[0] == 200:
                    return
            if self.process.poll() is not None or time.perf_counter() > limit:
                tail = self.log.read_text(errors="replace")[-2000:]
                raise SystemExit(f"{self.name} does not become ready:\n{tail}")
            time.sleep(0.01)

    def learn_model(self):
        self.model_id = json.loads(self.get("/v1/models")[1])["data"][0]["id"]

    def pause(self):
        os.killpg(self.process.pid, signal.SIGSTOP)

    def resume(self):
        os.killpg(self.process.pid, signal.SIGCONT)

    def stop(self):
        if self.process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGCONT)
            os.killpg(self.process.pid, signal.SIGTERM)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        self.process = None

    def rss_bytes(self):
        pages = sum(int(stat[21]) for stat in group_stats(self.process.pid))
        return pages * os.sysconf("SC_PAGE_SIZE")

    def cpu_seconds(self):
        ticks = sum(int(s[11]) + int(s[12]) for s in group_stats(self.process.pid))
        return ticks / os.sysconf("SC_CLK_TCK")


# ---- scenarios ----------------------------------------------------------------------------------
# Each takes a running, idle server and a trial number, and returns {row: value} and the failures.
# The trial is part of every prompt's key and the server is not: both get the same requests.


async def settle(server):
    """Wait until the server is idle: whatever was cancelled before is over when this answers."""
    stream = await Stream(server, "Hello.", 1).run()
    answer = parse(stream)
    if not answer.times:
        raise SystemExit(f"{server.name} does not answer: {answer.error}\n(log: {server.log})")


def failures_of(answers):
    return [answer.error for answer in answers if answer.error]


async def users(server, count, trial):
    """`count` users, each sending its next request when its last answer is complete."""

    async def user(index):
        answers = []
        for turn in range(REQUESTS_PER_USER[count]):
            text = prompt(SHORT_WORDS, "users", count, trial, index, turn)
            answers.append(await Stream(server, text, ANSWER_TOKENS).run())
        return answers

    streams = [s for part in await asyncio.gather(*map(user, range(count))) for s in part]
    answers = [parse(stream) for stream in streams]
    good = [answer for answer in answers if not answer.error]
    if not good:
        return {}, failures_of(answers)
    wall = max(a.times[-1] for a in good) - min(a.sent for a in answers)
    values = {
        f"{count} users: throughput": sum(a.tokens for a in good) / wall,
        f"{count} users: TTFT, median": 1e3 * statistics.median(a.ttft for a in good),
    }
    return values, failures_of(answers)


async def long_prompt(server, trial):
    stream = await Stream(server, prompt(LONG_WORDS, "long", trial), LONG_ANSWER_TOKENS).run()
    answer = parse(stream)
    if answer.error:
        return {}, failures_of([answer])
    return {"1,000-word prompt: TTFT": 1e3 * answer.ttft}, []


async def chat(server, key, streams):
    """One chat: a new stream whenever one ends well, until cancelled."""
    for turn in itertools.count():
        streams.append(Stream(server, prompt(SHORT_WORDS, "chat", *key, turn), CHAT_TOKENS))
        await streams[-1].run()
        # Parsing here would delay the time stamps of the other chats.
        if b"[DONE]" not in b"".join(data for _, data in streams[-1].reads[-4:]):
            return


async def read_on(streams, end):
    """Let each open stream reach its next token, so that the gap open at the end is whole."""
    limit = time.perf_counter() + REQUEST_LIMIT / 5
    while time.perf_counter() < limit:
        if all(s.closed.done() or (s.reads and s.reads[-1][0] > end) for s in streams):
            return
        await asyncio.sleep(0.02)


async def gaps(server, trial):
    """Four chats stream while long prompts arrive at fixed times, whether answered or not."""
    chats, longs = [], []
    tasks = [asyncio.create_task(chat(server, (trial, i), chats)) for i in range(CHATS)]
    while len(chats) < CHATS or not all(parse(stream).times for stream in chats[:CHATS]):
        await asyncio.sleep(0.02)
        if any(task.done() for task in tasks):
            break  # a chat has failed: what follows ends at once or reports it
    begin = time.perf_counter()
    end = begin + WINDOW_SECONDS
    for index in range(int(WINDOW_SECONDS / ARRIVAL_SECONDS)):
        await asyncio.sleep(max(0.0, begin + index * ARRIVAL_SECONDS - time.perf_counter()))
        longs.append(Stream(server, prompt(LONG_WORDS, "arrive", trial, index), LONG_ANSWER_TOKENS))
        tasks.append(asyncio.create_task(longs[-1].run()))
    await asyncio.sleep(max(0.0, end - time.perf_counter()))
    await read_on([s for s in chats if not s.closed.done()], end)
    stop = time.perf_counter()
    cut = [stream for stream in chats + longs if not stream.closed.done()]
    for task in tasks[:CHATS]:
        task.cancel()
    for stream in cut:
        stream.abort()
    await asyncio.gather(*tasks, return_exceptions=True)
    return gap_values(chats, longs, cut, begin, end, stop)


def gap_values(chats, longs, cut, begin, end, stop):
    answers = [parse(stream) for stream in chats]
    between = []
    for stream, answer in zip(chats, answers):
        times = answer.times + ([stop] if stream in cut else [])
        between += [b - a for a, b in zip(times, times[1:]) if b >= begin and a <= end]
    got = sum(begin <= t <= end for answer in answers for t in answer.times)
    served = [parse(stream) for stream in longs if stream not in cut]
    in_time = sum(bool(a.times) and a.times[0] <= end for a in map(parse, longs))
    closed = [a for s, a in zip(chats, answers) if s not in cut]
    if not between:
        return {}, failures_of(closed + served) or ["no chat got a second token"]
    between.sort()
    values = {
        "4 chats under long prompts: P99 gap": 1e3 * between[math.ceil(0.99 * len(between)) - 1],
        "4 chats under long prompts: longest gap": 1e3 * between[-1],
        "4 chats under long prompts: throughput": got / WINDOW_SECONDS,
        "long prompts begun to be answered in the window": in_time,
    }
    return values, failures_of(closed + served)


async def start_once(server, trial):
    """A fresh process of the same server while the first one is stopped, until one answer."""
    fresh = Server(f"{server.name}-fresh", server.command, server.log.parent)
    fresh.model_id = server.model_id
    begin = time.perf_counter()
    try:
        fresh.start()
        fresh.wait_ready()
        ready = time.perf_counter()
        stream = await Stream(fresh, prompt(SHORT_WORDS, "start", trial), ANSWER_TOKENS).run()
        answer = parse(stream)
        rss = fresh.rss_bytes()
    finally:
        fresh.stop()
    if answer.error:
        return {}, failures_of([answer])
    values = {
        "start to /health 200": 1e3 * (ready - begin),
        "start to first token": 1e3 * (answer.times[0] - begin),
        "resident memory after one answer": rss / 2**20,
    }
    return values, []


async def start_up(server, trial):
    """The second of two starts: a virtual machine may first have to get back from its host the
    memory that was free for a while, which costs seconds and would fall on whoever starts first."""
    server.pause()
    try:
        await start_once(server, trial)
        return await start_once(server, trial)
    finally:
        server.resume()


async def memory(server, trial):
    return {"resident memory after the round": server.rss_bytes() / 2**20}, []


SCENARIOS = {
    "start": start_up,
    "users-1": lambda server, trial: users(server, 1, trial),
    "users-8": lambda server, trial: users(server, 8, trial),
    "users-32": lambda server, trial: users(server, 32, trial),
    "long": long_prompt,
    "gaps": gaps,
    "memory": memory,
}


# ---- measuring ----------------------------------------------------------------------------------


class Load:
    """Use of the cores over one measurement, as shares of the whole machine."""

    def __init__(self, server):
        self.server = server
        self.before = self.sample()

    def sample(self):
        ticks = [int(v) for v in pathlib.Path("/proc/stat").read_text().split("\n")[0].split()[1:]]
        usage = resource.getrusage(resource.RUSAGE_SELF)
        fresh = resource.getrusage(resource.RUSAGE_CHILDREN)  # those of start_once, ended by now
        hertz = os.sysconf("SC_CLK_TCK")
        return (
            sum(ticks[:8]) / hertz,
            (sum(ticks[:3]) + sum(ticks[5:7])) / hertz,
            ticks[7] / hertz,
            self.server.cpu_seconds() + fresh.ru_utime + fresh.ru_stime,
            usage.ru_utime + usage.ru_stime,
        )

    def shares(self):
        total, busy, stolen, server, client = (
            after - before for after, before in zip(self.sample(), self.before)
        )
        other = max(0.0, busy - server - client)
        return tuple(100 * part / max(total, 1e-9) for part in (server, client, other, stolen))


async def measure_one(server, name, trial):
    """One scenario on one server: values, failures and the shares of the cores."""
    server.resume()
    await settle(server)
    load = Load(server)
    values, failed = await SCENARIOS[name](server, trial)
    shares = load.shares()
    await settle(server)
    server.pause()
    return values, failed, shares


async def measure_turn(servers, name, trials, limit):
    """One scenario on every server in the given order. A turn in which other processes used more
    of the cores than `limit` is repeated as a whole with new prompts, so that the choice does not
    look at the results."""
    for attempt in range(ATTEMPTS):
        trial = next(trials)
        turn = {s.name: await measure_one(s, name, trial) for s in servers}
        for server, (values, _, shares) in turn.items():
            shown = ", ".join(f"{row} {value:.1f}" for row, value in values.items())
            print(f"{server}: {shown} (other CPU {shares[2]:.1f} %)", file=sys.stderr)
        if name == "memory" or max(shares[2] for _, _, shares in turn.values()) <= limit:
            return turn, attempt
    return turn, attempt


async def measure(servers, names, rounds, limit):
    """All rounds. Returns {row: {server: [value or None per round]}}, loads, failures and how many
    turns were repeated."""
    rows, loads, failures, repeated = {}, {}, [], 0
    trials = itertools.count()
    for rnd, name in itertools.product(range(rounds), names):
        # The order changes from round to round: coming first must not favour or burden one server.
        order = servers[::-1] if rnd % 2 else servers
        turn, attempts = await measure_turn(order, name, trials, limit)
        repeated += attempts
        for server, (values, failed, shares) in turn.items():
            if name != "memory":
                loads.setdefault((name, server), []).append(shares)
            failures += [f"{server}, {name}, round {rnd + 1}: {error}" for error in failed]
            for row, value in values.items():
                cells = rows.setdefault(row, {s.name: [None] * rounds for s in servers})
                cells[server][rnd] = value
    return rows, loads, failures, repeated


# ---- report -------------------------------------------------------------------------------------


def unit_of(row):
    if "throughput" in row:
        return "tok/s", "higher"
    if "memory" in row:
        return "MiB", "lower"
    if "answered" in row:
        return "count", "higher"
    return "ms", "lower"


def spread(values, form):
    if not values:
        return "failed"
    return " / ".join(form(f(values)) for f in (min, statistics.median, max))


def amount(value):
    return f"{value:.1f}" if value < 100 else f"{value:,.0f}"


def result_table(rows, names):
    pair = len(names) == 2
    heads = ["", "unit", "better", *names, *([" / ".join(names)] if pair else [])]
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    for row, cells in rows.items():
        parts = [row, *unit_of(row)]
        parts += [spread([v for v in cells[n] if v is not None], amount) for n in names]
        if pair:
            both = [(a, b) for a, b in zip(*(cells[n] for n in names)) if a is not None and b]
            parts.append(spread([a / b for a, b in both], "{:.2f}".format))
        lines.append("| " + " | ".join(parts) + " |")
    return lines


def load_table(loads):
    lines = [
        "| scenario | server | its CPU % | client's | other processes' | stolen |",
        "|---|---|---|---|---|---|",
    ]
    for (scenario, server), samples in loads.items():
        means = [statistics.fmean(column) for column in zip(*samples)]
        lines.append(f"| {scenario} | {server} | " + " | ".join(f"{m:.1f}" for m in means) + " |")
    return lines


def version_of(path):
    shown = subprocess.run([path, "--version"], capture_output=True, text=True, check=False)
    said = shown.stdout.strip() or shown.stderr.strip()
    lines = [line for line in said.splitlines() if "version" in line.lower()]
    return (lines or said.splitlines() or ["unknown"])[0].strip()


def machine_facts(args, servers):
    cpuinfo = pathlib.Path("/proc/cpuinfo").read_text()
    pairs = (line.split(":", 1) for line in cpuinfo.splitlines() if ":" in line)
    fields = {key.strip(): value.strip() for key, value in pairs}
    flags = set(fields.get("flags", "").split())
    wanted = ["avx2", "avx512_vnni", "avx512_bf16", "amx_int8", "amx_bf16"]
    digest = hashlib.sha256(pathlib.Path(args.model).read_bytes()).hexdigest()
    memory_kib = int(pathlib.Path("/proc/meminfo").read_text().split()[1])
    lines = [
        f"- {time.strftime('%Y-%m-%d %H:%M UTC', time.gmtime())}; {args.rounds} rounds",
        f"- CPU: {fields.get('model name', platform.machine())}, {os.cpu_count()} cores; "
        + ", ".join(f"{flag} {'yes' if flag in flags else 'no'}" for flag in wanted),
        f"- Linux {platform.release()}, {memory_kib / 2**20:.1f} GiB of memory; "
        f"Python {platform.python_version()}",
        f"- model: {pathlib.Path(args.model).name}, SHA-256 {digest[:16]}",
    ]
    for server in servers:
        shown = server.command("PORT")
        path, shown[0] = shown[0], pathlib.Path(shown[0]).name
        shown[shown.index(args.model)] = pathlib.Path(args.model).name
        lines.append(f"- {server.name} ({version_of(path)}): `{' '.join(shown)}`")
    return lines


def tandem_command(args):
    limits = f"--threads {args.threads} --max-num-seqs {SLOTS} --max-model-len {CONTEXT}".split()
    place = [args.tandem, "serve", "--model", args.model, "--host", "127.0.0.1", "--port"]
    return lambda port: [*place, str(port), *limits]


def llama_command(args):
    limits = f"--threads {args.threads} --threads-batch {args.threads} --parallel {SLOTS}".split()
    context = ["--ctx-size", str(SLOTS * CONTEXT), "--no-webui"]
    place = [args.llama_server, "--model", args.model, "--host", "127.0.0.1", "--port"]
    return lambda port: [*place, str(port), *limits, *context]


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--tandem", metavar="PATH", help="the tandem program")
    parser.add_argument("--llama-server", metavar="PATH", help="as printed by bench/peer")
    parser.add_argument("--model", metavar="FILE", required=True, help="GGUF file both serve")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), metavar="N")
    parser.add_argument("--rounds", type=int, default=3, metavar="N")
    parser.add_argument(
        "--max-other",
        type=float,
        default=100.0,
        metavar="PERCENT",
        help="measure again (at most 5 times) when other processes use more of the cores than this",
    )
    parser.add_argument("--scenarios", nargs="+", choices=SCENARIOS, default=list(SCENARIOS))
    parser.add_argument("--out", metavar="FILE", help="also write the report here")
    args = parser.parse_args()
    if not args.tandem and not args.llama_server:
        parser.error("give --tandem, --llama-server or both")
    if args.rounds < 1 or args.threads < 1:
        parser.error("--rounds and --threads want positive numbers")
    for path in filter(None, (args.tandem, args.llama_server, args.model)):
        if not os.path.isfile(path):
            parser.error(f"{path}: no such file")
    return args


def main():
    args = arguments()
    # The servers live in sessions of their own, so ending them is for the exit stack alone.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("serving.py: terminated"))
    with contextlib.ExitStack() as stack:
        logs = stack.enter_context(tempfile.TemporaryDirectory(prefix="serving-"))
        servers = []
        for name, path, command in (
            ("tandem", args.tandem, tandem_command(args)),
            ("llama-server", args.llama_server, llama_command(args)),
        ):
            if path:
                servers.append(Server(name, command, logs))
        for server in servers:
            stack.callback(server.stop)
            server.start()
            server.wait_ready()
            server.learn_model()
            server.pause()
        rows, loads, failures, repeated = asyncio.run(
            measure(servers, args.scenarios, args.rounds, args.max_other)
        )
        report = machine_facts(args, servers)
        report += ["", *result_table(rows, [s.name for s in servers]), ""]
        report += ["Cells: min / median / max over the rounds."]
        if repeated:
            report += [f"Turns repeated because others used over {args.max_other} %: {repeated}."]
        report += ["", *load_table(loads)]
        report += ["", *(f"- FAILED: {failure}" for failure in failures)] if failures else []
    text = "\n".join(report) + "\n"
    print(text, end="")
    if args.out:
        pathlib.Path(args.out).write_text(text)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
