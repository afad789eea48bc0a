"""/metrics: the format, the names that dashboards need, and numbers that add up."""

import math

COUNTERS = ["prompt_tokens_total", "generation_tokens_total", "num_preemptions_total",
            "request_success_total", "http_requests_total"]
GAUGES = ["num_requests_running", "num_requests_waiting", "kv_cache_usage_perc", "kv_pages_used",
          "kv_pages", "num_requests_live"]
HISTOGRAMS = ["time_to_first_token_seconds", "inter_token_latency_seconds",
              "e2e_request_latency_seconds", "request_queue_time_seconds",
              "request_prefill_time_seconds", "request_decode_time_seconds",
              "request_prompt_tokens", "request_generation_tokens"]


def test_names_and_types(server):
    server.complete("Hello", max_tokens=2)
    metrics = server.metrics()
    for kind, names in (("counter", COUNTERS), ("gauge", GAUGES), ("histogram", HISTOGRAMS)):
        for name in names:
            assert metrics.types.get("tandem:" + name) == kind, name
    assert set(metrics.types) == set(metrics.help)
    for name in metrics.types:
        assert (metrics.types[name] == "counter") == name.endswith("_total"), name


def test_numbers_add_up(server):
    before = server.metrics()
    for tokens in (1, 5, 9):
        server.complete("The capital of France is", max_tokens=tokens, ignore_eos=True)
    server.wait_idle()
    after = server.metrics()

    def grew(name, **labels):
        return after.value("tandem:" + name, **labels) - before.value("tandem:" + name, **labels)

    assert grew("prompt_tokens_total") == 15
    assert grew("generation_tokens_total") == 15
    assert grew("request_success_total", finished_reason="length") == 3
    assert grew("time_to_first_token_seconds_count") == 3
    assert grew("inter_token_latency_seconds_count") == 12
    assert grew("e2e_request_latency_seconds_count") == 3
    assert grew("request_prompt_tokens_sum") == 15
    assert grew("request_generation_tokens_sum") == 15


def test_histograms_are_consistent(server):
    server.complete("Hello", max_tokens=4)
    server.wait_idle()
    for name, labels, buckets, total, count in server.metrics().histograms():
        values = [value for _, value in buckets]
        assert values == sorted(values), f"{name}{labels} is not cumulative"
        assert buckets[-1][0] == math.inf and buckets[-1][1] == count, name
        assert total >= 0 and (count > 0 or total == 0), name


def test_counters_only_grow(server):
    before = server.metrics()
    server.chat("Hello", max_tokens=3)
    after = server.metrics()
    for name, kind in before.types.items():
        if kind == "counter":
            for labels, value in before.samples[name].items():
                assert after.samples[name][labels] >= value, name


def test_gauges_while_busy(server):
    from wire import Wire
    with Wire(server.port) as wire:
        wire.request("POST", "/v1/completions", {"prompt": "a", "max_tokens": 300, "stream": True,
                                                 "ignore_eos": True})
        for _ in range(4):
            wire.until(b"data: ")
        metrics = server.metrics()
        assert metrics.value("tandem:num_requests_running") == 1
        assert metrics.value("tandem:kv_pages_used") >= 1
        assert 0 < metrics.value("tandem:kv_cache_usage_perc") <= 1
        wire.reset()
    server.wait_idle()
