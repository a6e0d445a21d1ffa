"""Decides how the fact tables' flags become the typed quirks of the wire (catalog.md § 6).
Does not know what a quirk does to a request: that is the dialect's business.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

# Typed quirk → the values it may take; None = a bare name, the empty set = any text.
VOCABULARY: dict[str, frozenset[str] | None] = {
    "max_tokens_field": frozenset({"max_tokens", "max_completion_tokens"}),
    "system_role": frozenset({"system", "developer"}),
    "drop": frozenset(
        {
            "store",
            "strict",
            "logprobs",
            "logit_bias",
            "parallel_tool_calls",
            "temperature",
            "assistant_name",
            "unknown",
        }
    ),
    "stream_usage": frozenset({"opt_in", "always", "never"}),
    "usage_shape": frozenset(
        {
            "openai",
            "anthropic_excl_cache",
            "gemini_excl_thoughts",
            "xai_excl_reasoning",
            "deepseek_hit_miss",
            "openrouter_cost",
        }
    ),
    "reasoning_control": frozenset(
        {
            "effort",
            "thinking_type",
            "enable_thinking",
            "thinking_budget",
            "reasoning_object",
            "reasoning_enabled",
            "chat_template_args",
            "adaptive_only",
        }
    ),
    "tool_choice": frozenset({"full", "auto_none", "any_for_required", "no_required"}),
    "tool_id": frozenset({"any", "alnum9"}),
    "temperature_max": frozenset({"1", "2"}),
    "seed_field": frozenset({"seed", "random_seed"}),
    "empty_choices": frozenset({"first", "final"}),
    "affinity_header": frozenset(),
    "echo_reasoning": None,
    "max_tokens_required": None,
    "roles_alternate": None,
    "no_tools": None,
    "custom_tools": None,
    "model_is_deployment": None,
    "backend_suffix": None,
    "reported_cost": None,
    "error_in_stream": None,
    "sse_comments": None,
}
# Several values of one name: drop in one string ("drop=store|strict"), the other as two strings.
LIST_VALUED = frozenset({"drop"})
REPEATED = frozenset({"empty_choices"})

# Flag in providers.tsv or models.tsv → typed quirk. "name=value" flags that are already typed
# pass through `VOCABULARY` and need no line here.
TYPED: dict[str, str] = {
    "developer_role": "system_role=developer",
    "no_developer_role": "system_role=system",
    "no_store": "drop=store",
    "no_strict_tools": "drop=strict",
    "no_logprobs": "drop=logprobs",
    "no_logit_bias": "drop=logit_bias",
    "no_assistant_name": "drop=assistant_name",
    "no_temperature": "drop=temperature",
    "rejects_unknown_params": "drop=unknown",
    "echo_reasoning_content": "echo_reasoning",
    "adaptive_thinking_only": "reasoning_control=adaptive_only",
    "reasoning_control=openrouter": "reasoning_control=reasoning_object",
    "reasoning_control=together": "reasoning_control=reasoning_enabled",
    "reasoning_control=deepseek": "reasoning_control=thinking_type",
    "reasoning_control=zai": "reasoning_control=thinking_type",
    "reasoning_control=openai": "reasoning_control=effort",
    "reasoning_control=baseten": "reasoning_control=chat_template_args",
    "tool_choice=auto|none": "tool_choice=auto_none",
    "no_tool_choice_required": "tool_choice=no_required",
    "required_tool_choice_word=any": "tool_choice=any_for_required",
    "tool_id_format=alnum9": "tool_id=alnum9",
    "empty_choices_first_chunk": "empty_choices=first",
    "empty_choices_final_chunk": "empty_choices=final",
    "sse_comment_lines": "sse_comments",
}

# Flags that are true and change nothing in how P402 writes a request or reads a reply.
WITHOUT_MEANING: dict[str, str] = {
    "account_in_path": "seen in the base address's placeholder",
    "block_stream": "larger chunks are chunks",
    "cache_control": "passes as an unknown field, or is said by the dialect's codec",
    "cache_read_default_ratio=0.5": "a price; prices come from the price sources",
    "completions_only": "a gate of the builder",
    "extension_object=venice_parameters": "passes through as an unknown field",
    "fim_only": "a gate: no chat endpoint",
    "flat_rate": "the provider's kind says it",
    "flatten_content_list": "only that provider's text models; a content list of one text works",
    "host_in_base": "seen in the base address's placeholder",
    "max_tokens_counts_in_rate_limit": "the provider's own limit answers 429",
    "no_reasoning_effort": "the offer lists no effort words, so none is sent",
    "off_peak_price": "the window record says it",
    "per_call_search_fee": "reported in the provider's own cost",
    "per_request_fee": "the price row's per_request says it",
    "per_second_price": "a gate: no token price",
    "provider_options_routing": "passes through as an unknown field",
    "range_tiers": "the price row's bands say it",
    "reasoning_effort=none|high": "the offers' efforts say it",
    "reasoning_control=gemini_thinking_config": "level or budget, as the offers' efforts say",
    "reasoning_format_param": "passes through as an unknown field",
    "responses_only": "a gate of the builder",
    "service_tier_may_change": "settlement always prices the tier the reply names",
    "shape_by_model": "only models with a chat endpoint pass the gate",
    "small_context_models": "the offers' context says it",
    "store": "the default",
    "stream_only_models": "the upstream's own error is retried elsewhere",
    "system_top_level": "the dialect's codec says it",
    "tier_inclusive": "the builder stores 199,999",
    "token_refresh": "a gate: oauth2",
    "tokens_per_minute_limit": "the provider's own limit answers 429",
    "tool_stream_flag": "passes through as an unknown field",
    "two_keys": "the provider's env says it",
    "unpriced": "a gate: no price",
}

# Flags of a provider that are untrue of the endpoint we call, or too doubtful to act on.
NOT_HERE: dict[str, dict[str, str]] = {
    "deepinfra": {"reported_cost": "unverified, and it would decide what a tenant pays"},
    "volcengine": {"model_is_deployment": "an endpoint id may stand there, a model id as well"},
}

# Quirks the tables mark as general knowledge: such a flag may change how a reply is read, never
# cut a field of the client's request.
UNVERIFIED: dict[str, frozenset[str]] = {"azure": frozenset({"empty_choices_first_chunk"})}


def provider_flags(provider: str, text: str) -> list[str]:
    """`providers.tsv` flags as typed quirks; an unknown flag fails the build."""
    not_here = NOT_HERE.get(provider, {})
    flags = [flag for flag in _split(text, ";") if flag not in not_here]
    typed = _typed(flags, provider)
    for flag in UNVERIFIED.get(provider, frozenset()) & set(flags):
        if TYPED.get(flag, flag).startswith("drop="):
            raise ValueError(f"{provider}: {flag} is unverified and must not drop a field")
    return _joined(typed)


def offer_flags(where: str, text: str, inherited: Iterable[str]) -> list[str]:
    """`models.tsv` flags as typed quirks, save those the provider already has."""
    own = _typed(_split(text, "+"), where)
    known = set(inherited)
    drop = next((flag for flag in known if flag.startswith("drop=")), None)
    if drop is not None and any(flag.startswith("drop=") for flag in own):
        # A list is stated whole, so that no reader has to know whether it adds or replaces.
        own += [f"drop={name}" for name in drop.removeprefix("drop=").split("|")]
    # The protocol's own default is only worth a word where the provider says otherwise.
    default = {"system_role=system", "reasoning_control=effort"}
    names = {flag.partition("=")[0] for flag in known}
    joined = [f for f in _joined(own) if f not in known]
    return [f for f in joined if f not in default or f.partition("=")[0] in names]


def check_flag(flag: str, where: str) -> None:
    """Refuses a flag that is no typed quirk, or a value its quirk does not take."""
    name, equals, value = flag.partition("=")
    if name not in VOCABULARY:
        raise ValueError(f"{where}: {flag!r} is no quirk of ours: type it, or say why it is none")
    allowed = VOCABULARY[name]
    if allowed is None:
        if equals:
            raise ValueError(f"{where}: {name} takes no value, got {flag!r}")
        return
    values = value.split("|") if name in LIST_VALUED else [value]
    if not value or (allowed and not allowed.issuperset(values)):
        raise ValueError(f"{where}: {flag!r}: {name} takes {', '.join(sorted(allowed))}")


def _split(text: str, separator: str) -> list[str]:
    return [flag.strip() for flag in text.split(separator) if flag.strip()]


def _typed(flags: Iterable[str], where: str) -> list[str]:
    typed = [TYPED.get(flag, flag) for flag in flags if flag not in WITHOUT_MEANING]
    for flag in typed:
        check_flag(flag, where)
    return typed


def _joined(flags: Sequence[str]) -> list[str]:
    """One string a quirk: list values joined, the last of single values kept, sorted."""
    merged: dict[str, str | None] = {}
    repeated = {flag for flag in flags if flag.partition("=")[0] in REPEATED}
    for flag in flags:
        name, equals, value = flag.partition("=")
        if name in REPEATED:
            continue
        before = merged.get(name)
        if name in LIST_VALUED and before:
            value = "|".join(sorted({*before.split("|"), value}))
        merged[name] = value if equals else None
    single = [name if value is None else f"{name}={value}" for name, value in merged.items()]
    return sorted([*single, *repeated])
