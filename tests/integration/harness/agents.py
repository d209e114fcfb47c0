# SPDX-License-Identifier: Apache-2.0
"""What the agents do that have a profile, as their documentation and sources have it: which files, which hosts."""

# Of each agent: its command; what it keeps; what it reads and must not change, since the host would obey it; what it
# must not see; and what it writes for itself, which is gone afterwards. All below the home directory.
AGENTS = {
    'claude-code': (
        'claude',
        ['.claude/projects/p/s.jsonl', '.claude/todos/t', '.claude/plans/p', '.claude/history.jsonl'],
        ['.claude.json', '.claude/settings.json', '.claude/CLAUDE.md', '.claude/agents/a.md',
         '.claude/commands/c.md', '.claude/skills/s', '.claude/plugins/p', '.claude/hooks/h', '.local/bin/claude',
         '.local/share/claude/versions/1'],
        ['.claude/.credentials.json'],
        ['.claude/statsig/s', '.claude/shell-snapshots/s.sh', '.claude/debug/d'],
    ),
    'codex': (
        'codex',
        ['.codex/sessions/s.jsonl', '.codex/archived_sessions/s', '.codex/history.jsonl'],
        ['.codex/config.toml', '.codex/AGENTS.md', '.codex/prompts/p.md', '.codex/skills/s', '.codex/rules/r.rules',
         '.local/bin/codex', '.codex/packages/standalone/p'],
        ['.codex/auth.json'],
        ['.codex/log/codex-tui.log', '.codex/version.json', '.codex/models_cache.json'],
    ),
    'gemini-cli': (
        'gemini',
        ['.gemini/history/h'],
        ['.gemini/settings.json', '.gemini/GEMINI.md', '.gemini/trustedFolders.json', '.gemini/commands/c.toml',
         '.gemini/extensions/e/gemini-extension.json', '.gemini/policies/p.toml'],
        ['.gemini/oauth_creds.json', '.gemini/google_accounts.json', '.gemini/mcp-oauth-tokens.json'],
        ['.gemini/tmp/t/logs.json', '.gemini/state.json'],
    ),
    'opencode': (
        'opencode',
        ['.local/share/opencode/storage/s', '.local/share/opencode/log/l', '.local/share/opencode/opencode.db',
         '.local/state/opencode/kv.json'],
        ['.config/opencode/opencode.json', '.config/opencode/AGENTS.md', '.config/opencode/agent/a.md',
         '.config/opencode/command/c.md', '.config/opencode/plugin/p.ts', '.config/opencode/tool/t.ts',
         '.opencode/bin/opencode'],
        ['.local/share/opencode/auth.json', '.local/share/opencode/mcp-auth.json'],
        ['.config/opencode/node_modules/n', '.cache/opencode/models.json', '.local/share/opencode/bin/rg'],
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
        ['.local/share/goose/sessions/sessions.db', '.local/state/goose/logs/l', '.local/state/goose/history.txt'],
        ['.config/goose/config.yaml', '.config/goose/custom_providers/p.json', '.config/goose/recipes/r.yaml',
         '.config/goose/prompts/p.md', '.config/goose/.goosehints', '.local/bin/goose'],
        ['.config/goose/secrets.yaml', '.config/goose/githubcopilot/info.json',
         '.config/goose/databricks/oauth/t.json', '.config/goose/tls/key.pem'],
        ['.config/goose/permission.lock', '.config/goose/permission.yaml', '.config/goose/history.txt'],
    ),
    'amp': (
        'amp',
        ['.local/share/amp/threads/t.json', '.local/share/amp/history.jsonl'],
        ['.config/amp/settings.json', '.config/amp/AGENTS.md', '.config/amp/commands/c.md', '.config/amp/skills/s',
         '.config/amp/tools/t'],
        ['.local/share/amp/secrets.json'],
        ['.cache/amp/logs/cli.log', '.local/share/amp/session.json'],
    ),
    'copilot-cli': (
        'copilot',
        ['.copilot/session-state/s/events.jsonl', '.copilot/history-session-state/h'],
        ['.copilot/settings.json', '.copilot/mcp-config.json', '.copilot/lsp-config.json', '.copilot/agents/a.md',
         '.copilot/skills/s', '.copilot/hooks/h.json', '.copilot/copilot-instructions.md',
         '.copilot/instructions/i.md', '.local/bin/copilot'],
        ['.copilot/config.json', '.config/gh/hosts.yml'],
        ['.copilot/logs/l', '.copilot/permissions-config.json', '.copilot/session-store.db'],
    ),
    'cursor-agent': (
        'cursor-agent',
        ['.cursor/chats/w/c/store.db'],
        ['.cursor/cli-config.json', '.cursor/mcp.json', '.cursor/rules/r.mdc', '.cursor/commands/c.md',
         '.cursor/agents/a.md', '.cursor/skills/s', '.local/bin/cursor-agent', '.local/bin/agent',
         '.local/share/cursor-agent/versions/1/index.js'],
        ['.config/cursor/auth.json', '.config/Cursor/User/globalStorage/state.vscdb'],
        ['.cursor/projects/p/mcp-approvals.json', '.cursor/prompt_history.json'],
    ),
    'qwen-code': (
        'qwen',
        ['.qwen/projects/p/chats/c.jsonl'],
        ['.qwen/settings.json', '.qwen/QWEN.md', '.qwen/commands/c.md', '.qwen/extensions/e', '.qwen/skills/s',
         '.qwen/agents/a.md'],
        ['.qwen/oauth_creds.json', '.qwen/mcp-oauth-tokens.json'],
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
