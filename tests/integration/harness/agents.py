# SPDX-License-Identifier: Apache-2.0
"""What the agents do that have a profile, as their documentation and sources have it: which files, which hosts."""

# Of each agent: its command; what it keeps; what it reads and must not change, since the host would obey it; what it
# must not see (logins, and sessions of other projects); and what it writes for itself, which is gone afterwards. All below
# the home directory; {workdir} is the path of the workspace as the agent writes it.
AGENTS = {
    'claude-code': (
        'claude',
        ['.claude/projects/{workdir}/s.jsonl', '.claude/projects/{workdir}/memory/m.md'],
        ['.claude.json', '.claude/settings.json', '.claude/CLAUDE.md', '.claude/agents/a.md',
         '.claude/commands/c.md', '.claude/skills/s', '.claude/plugins/p', '.claude/hooks/h', '.local/bin/claude',
         '.local/share/claude/versions/1'],
        ['.claude/.credentials.json', '.claude/projects/-other/s.jsonl', '.claude/projects/{workdir}-2/s.jsonl',
         '.claude/history.jsonl', '.claude/plans/p', '.claude/file-history/s/f'],
        ['.claude/statsig/s', '.claude/shell-snapshots/s.sh', '.claude/debug/d', '.claude/todos/t', '.claude/tasks/t'],
    ),
    'codex': (
        'codex',
        [],
        ['.codex/config.toml', '.codex/AGENTS.md', '.codex/prompts/p.md', '.codex/skills/s', '.codex/rules/r.rules',
         '.local/bin/codex', '.codex/packages/standalone/p'],
        ['.codex/auth.json', '.codex/sessions/2026/01/01/s.jsonl', '.codex/archived_sessions/s', '.codex/history.jsonl'],
        ['.codex/sessions/2026/01/02/s.jsonl', '.codex/log/codex-tui.log', '.codex/version.json', '.codex/models_cache.json'],
    ),
    'gemini-cli': (
        'gemini',
        [],
        ['.gemini/settings.json', '.gemini/GEMINI.md', '.gemini/trustedFolders.json', '.gemini/commands/c.toml',
         '.gemini/extensions/e/gemini-extension.json', '.gemini/policies/p.toml'],
        ['.gemini/oauth_creds.json', '.gemini/google_accounts.json', '.gemini/mcp-oauth-tokens.json',
         '.gemini/tmp/p/chats/c.json', '.gemini/history/p/f'],
        ['.gemini/history/h', '.gemini/projects.json', '.gemini/tmp/t/logs.json', '.gemini/state.json'],
    ),
    'opencode': (
        'opencode',
        [],
        ['.config/opencode/opencode.json', '.config/opencode/AGENTS.md', '.config/opencode/agent/a.md',
         '.config/opencode/command/c.md', '.config/opencode/plugin/p.ts', '.config/opencode/tool/t.ts',
         '.opencode/bin/opencode'],
        ['.local/share/opencode/auth.json', '.local/share/opencode/mcp-auth.json', '.local/share/opencode/opencode.db',
         '.local/share/opencode/storage/s', '.local/state/opencode/prompt-history.jsonl'],
        ['.config/opencode/node_modules/n', '.cache/opencode/models.json', '.local/share/opencode/bin/rg',
         '.local/share/opencode/log/l', '.local/share/opencode/opencode.db-wal', '.local/state/opencode/kv.json'],
    ),
    'aider': (
        'aider',
        ['.aider/caches/model_prices_and_context_window.json'],
        ['.aider.conf.yml', '.aider.model.settings.yml', '.aider.model.metadata.json', '.local/bin/aider',
         '.local/share/uv/tools/aider-chat/bin/aider', '.local/share/uv/python/p'],
        ['.aider/oauth-keys.env', '.env'],
        ['.aider/analytics.json', '.aider/installs.json'],
    ),
    'goose': (
        'goose',
        [],
        ['.config/goose/config.yaml', '.config/goose/custom_providers/p.json', '.config/goose/recipes/r.yaml',
         '.config/goose/prompts/p.md', '.config/goose/.goosehints', '.local/bin/goose'],
        ['.config/goose/secrets.yaml', '.config/goose/githubcopilot/info.json',
         '.config/goose/databricks/oauth/t.json', '.config/goose/tls/key.pem', '.local/share/goose/sessions/sessions.db',
         '.local/state/goose/history.txt'],
        ['.local/share/goose/sessions/sessions.db-wal', '.local/state/goose/logs/l', '.config/goose/permission.lock', '.config/goose/permission.yaml', '.config/goose/history.txt'],
    ),
    'amp': (
        'amp',
        [],
        ['.config/amp/settings.json', '.config/amp/AGENTS.md', '.config/amp/commands/c.md', '.config/amp/skills/s',
         '.config/amp/tools/t'],
        ['.local/share/amp/secrets.json', '.local/share/amp/threads/t.json', '.local/share/amp/history.jsonl'],
        ['.local/share/amp/threads/new.json', '.cache/amp/logs/cli.log', '.local/share/amp/session.json'],
    ),
    'copilot-cli': (
        'copilot',
        [],
        ['.copilot/settings.json', '.copilot/mcp-config.json', '.copilot/lsp-config.json', '.copilot/agents/a.md',
         '.copilot/skills/s', '.copilot/hooks/h.json', '.copilot/copilot-instructions.md',
         '.copilot/instructions/i.md', '.local/bin/copilot'],
        ['.copilot/config.json', '.config/gh/hosts.yml', '.copilot/session-state/s/events.jsonl',
         '.copilot/history-session-state/h'],
        ['.copilot/session-state/new/events.jsonl', '.copilot/logs/l', '.copilot/permissions-config.json', '.copilot/session-store.db'],
    ),
    'cursor-agent': (
        'cursor-agent',
        [],
        ['.cursor/cli-config.json', '.cursor/mcp.json', '.cursor/rules/r.mdc', '.cursor/commands/c.md',
         '.cursor/agents/a.md', '.cursor/skills/s', '.local/bin/cursor-agent', '.local/bin/agent',
         '.local/share/cursor-agent/versions/1/index.js'],
        ['.config/cursor/auth.json', '.config/Cursor/User/globalStorage/state.vscdb', '.cursor/chats/w/c/store.db'],
        ['.cursor/chats/new/c/store.db', '.cursor/projects/p/mcp-approvals.json', '.cursor/prompt_history.json'],
    ),
    'qwen-code': (
        'qwen',
        ['.qwen/projects/{workdir}/chats/c.jsonl'],
        ['.qwen/settings.json', '.qwen/QWEN.md', '.qwen/commands/c.md', '.qwen/extensions/e', '.qwen/skills/s',
         '.qwen/agents/a.md'],
        ['.qwen/oauth_creds.json', '.qwen/mcp-oauth-tokens.json', '.qwen/projects/-other/chats/c.jsonl'],
        ['.qwen/tmp/t', '.qwen/installation_id'],
    ),
}

# What each asks with which key, and without one.
ASKS = {
    'claude-code': (
        'ANTHROPIC_API_KEY',
        ['POST https://api.anthropic.com/v1/messages'],
        [],
    ),
    'codex': (
        'OPENAI_API_KEY',
        ['POST https://api.openai.com/v1/responses', 'GET https://api.openai.com/v1/models'],
        [],
    ),
    'gemini-cli': (
        'GEMINI_API_KEY',
        ['POST https://generativelanguage.googleapis.com/v1beta/models/m:streamGenerateContent'],
        [],
    ),
    'opencode': (
        'ANTHROPIC_API_KEY',
        ['POST https://api.anthropic.com/v1/messages'],
        ['GET https://models.dev/api.json'],
    ),
    'aider': (
        'OPENROUTER_API_KEY',
        ['POST https://openrouter.ai/api/v1/chat/completions', 'GET https://openrouter.ai/api/v1/models'],
        ['GET https://raw.githubusercontent.com/BerriAI/litellm/main/model_prices_and_context_window.json'],
    ),
    'goose': (
        'OPENAI_API_KEY',
        ['POST https://api.openai.com/v1/chat/completions', 'GET https://api.openai.com/v1/models'],
        [],
    ),
    'amp': (
        'AMP_API_KEY',
        ['POST https://ampcode.com/api/internal', 'GET https://ampcode.com/api/auth/oauth-config'],
        [],
    ),
    'copilot-cli': (
        'GH_TOKEN',
        ['GET https://api.github.com/copilot_internal/user', 'GET https://api.github.com/user',
         'GET https://api.githubcopilot.com/models', 'POST https://api.individual.githubcopilot.com/chat/completions'],
        [],
    ),
    'cursor-agent': (
        'CURSOR_API_KEY',
        ['POST https://api2.cursor.sh/auth/exchange_user_api_key',
         'POST https://agent.api5.cursor.sh/agent.v1.AgentService/Run'],
        [],
    ),
    'qwen-code': (
        'DASHSCOPE_API_KEY',
        ['POST https://dashscope.aliyuncs.com/compatible-mode/v1/chat/completions',
         'POST https://dashscope-intl.aliyuncs.com/compatible-mode/v1/chat/completions'],
        [],
    ),
}

# What a client of the provider checks before it asks.
KEY_FORMS = {'AMP_API_KEY': 'sgamp_'}
