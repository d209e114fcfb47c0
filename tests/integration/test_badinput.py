# SPDX-License-Identifier: Apache-2.0
"""Bad input: exit 125, a message that names the object and the accepted form, and nothing has run."""
import os
import re

from harness.box import Box
from harness.registry import cases, check, equal, test


def refused(t, box, flags, words, **kwargs):
    result = box.nsbox('run', *box.flags, *flags, '--', 'sh', '-c', 'echo ran; touch ran', **kwargs)
    equal(result.code, 125, 'exit status (%r)' % result)
    equal(result.out, '', 'stdout')
    check(not os.path.exists(box.work + '/ran'), 'the command has run')
    check(result.err.startswith('nsbox: '), 'stderr starts with nsbox: %r' % result.err)
    check('\0' not in result.err and '\x1b' not in result.err, 'control bytes on stderr: %r' % result.err)
    for word in words:
        check(re.search(word, result.err), 'stderr has no %r: %r' % (word, result.err))
    check(len(result.err) < 1000, 'a short message: %r' % result.err[:1500])
    return result


HEAD = '[sandbox]\nversion = 1\n'
# name, text of the policy file, line that the message names (0: none), words
FILES = [
    ('unknown_section', HEAD + '[netwrok]\nallow = a.example.com\n', 3, ['netwrok']),
    ('unknown_empty_section', HEAD + '[netwrok]\n', 3, ['netwrok']),
    ('section_twice', HEAD + '[network]\nmode = none\n[sandbox]\n', 5, ['sandbox']),
    ('unknown_key', HEAD + '[network]\nalow = a.example.com\n', 4, ['alow']),
    ('key_without_section', 'version = 1\n', 1, ['version']),
    ('key_of_another_section', HEAD + '[network]\npids = 5\n', 4, ['pids']),
    ('no_version', '[sandbox]\n[network]\nmode = none\n', 0, ['version']),
    ('other_version', '[sandbox]\nversion = 2\n', 2, ['version', '1']),
    ('empty_file', '', 0, ['version']),
    ('no_equals', HEAD + '[network]\nallow a.example.com\n', 4, []),
    ('colon_first', HEAD + '[network]\nallow: a.example.com = x\n', 4, []),
    ('leading_space', HEAD + '[network]\n allow = a.example.com\n', 4, []),
    ('leading_tab', HEAD + '[network]\n\tallow = a.example.com\n', 4, []),
    ('long_line', HEAD + '[network]\nallow = ' + 'a' * 200 + '\n', 4, ['199']),
    ('long_comment', HEAD + '; ' + 'a' * 300 + '\n', 3, ['199']),
    ('long_key', HEAD + '[env]\n' + 'k' * 60 + ' = 1\n', 4, ['49']),
    ('long_section', HEAD + '[secret ' + 'S' * 60 + ']\nsource = env:X\n', 3, ['49']),
    ('nul', HEAD + '[network]\nallow = a.exa\0mple.com\n', 4, []),
    ('control_byte', HEAD + '[network]\nallow = a.exa\x1bmple.com\n', 4, []),
    ('carriage_return', '[sandbox]\r\nversion = 1\r\n', 1, []),
    ('bom', '\ufeff' + HEAD, 1, []),
    ('bad_mode', HEAD + '[network]\nmode = bridge\n', 4, ['bridge', 'gateway', 'none', 'host']),
    ('bad_rule', HEAD + '[network]\nallow = *x.example.com\n', 4, [r'\*x']),
    ('path_without_scheme', HEAD + '[network]\nallow = a.example.com/v1\n', 4, ['https://']),
    ('unknown_profile', HEAD + 'extends = no-such-profile\n', 3, ['no-such-profile']),
    ('missing_path', HEAD + '[filesystem]\nread = /no/such/path\n', 4, ['/no/such/path']),
    ('bad_limit', HEAD + '[limits]\npids = many\n', 4, ['many']),
    ('bad_inject', HEAD + '[secret K]\nsource = env:HOME\nallow = a.example.com\ninject = everywhere\n', 6, ['everywhere']),
    ('secret_without_name', HEAD + '[secret]\nsource = env:HOME\n', 3, []),
    ('secret_bad_name', HEAD + '[secret a-b]\nsource = env:HOME\n', 0, ['bad.ini:[34]']),
    ('unclosed_section', HEAD + '[network\nmode = none\n', 3, []),
]


@cases(FILES)
def policy_file(t, text, line, words):
    path = t.write('bad.ini', text.encode())
    refused(t, Box(t), ['-f', path], words + (['bad.ini:%d' % line] if line else ['bad.ini']))


@test
def policy_file_missing(t):
    refused(t, Box(t), ['-f', '/no/such/policy.ini'], ['/no/such/policy.ini'])


@test
def policy_file_is_a_directory(t):
    refused(t, Box(t), ['-f', '/etc'], ['/etc'])


@test
def policy_file_endless(t):
    refused(t, Box(t), ['-f', '/dev/zero'], ['/dev/zero'], timeout=60)


RULES = [
    ('empty', ''), ('blank', ' '), ('lower_method', 'get https://a.example.com'),
    ('unknown_method', 'F@O https://a.example.com'), ('method_for_tcp', 'GET tcp://a.example.com:22'),
    ('half_wildcard', '*a.example.com'), ('inner_wildcard', 'a.*.example.com'), ('port_0', 'a.example.com:0'),
    ('port_65536', 'a.example.com:65536'), ('port_text', 'a.example.com:https'), ('port_empty', 'a.example.com:'),
    ('empty_host', 'https:///x'), ('only_port', ':443'), ('space', 'a example.com'), ('underscore', 'a_b!.example.com'),
    ('scheme', 'ftp://a.example.com'), ('tcp_without_port', 'tcp://a.example.com'), ('cidr_without_port', '10.0.0.0/8'),
    ('cidr_33', '10.0.0.0/33:1'), ('cidr_host_bits', '10.0.0.300/8:1'), ('query', 'https://a.example.com/x?y=1'),
    ('encoded_slash', 'https://a.example.com/a%2fb'), ('encoded_nul', 'https://a.example.com/%00'),
    ('bad_percent', 'https://a.example.com/%zz'), ('backslash', 'https://a.example.com/a\\b'),
    ('userinfo', 'https://user@a.example.com'), ('newline', 'a.example.com\nb.example.com'),
    ('long_label', 'a' * 64 + '.example.com'), ('long_name', '.'.join(['a' * 60] * 5) + '.example.com'),
    ('two_dots', 'a..example.com'), ('leading_dot', '.example.com'), ('two_trailing_dots', 'a.example.com..'),
    ('hyphen', '-a.example.com'), ('short_ip', '127.1'), ('hex_ip', '0x7f.0.0.1'), ('number', '2130706433'),
    ('ipv6_without_brackets', '2001:db8::1'), ('ipv6_unclosed', '[2001:db8::1'), ('path_without_scheme', 'a.example.com/x'),
    ('very_long', 'https://a.example.com/' + 'x' * 70000),
]


@cases(RULES)
def allow_rule(t, rule):
    word = re.escape(rule[:20].strip()) if rule.strip() and '\n' not in rule and '\\' not in rule else '--allow'
    refused(t, Box(t), ['--allow', rule], ['--allow|' + word])


FLAGS = [
    ('unknown_option', ['--no-such-option'], ['no-such-option']),
    ('unknown_short', ['-Z'], ['-Z']),
    ('option_without_value', ['--allow'], []),
    ('net_mode', ['--net', 'bridge'], ['bridge', 'gateway', 'none', 'host']),
    ('none_with_rule', ['--net', 'none', '--allow', 'a.example.com'], ['none']),
    ('host_with_rule', ['--net', 'host', '--allow', 'a.example.com'], ['host']),
    ('profile', ['-p', 'no-such-profile'], ['no-such-profile']),
    ('read_missing', ['--read', '/no/such/path'], ['/no/such/path']),
    ('write_missing', ['--write', '/no/such/path'], ['/no/such/path']),
    ('read_empty', ['--read', ''], ['--read']),
    ('read_newline', ['--read', '/etc\n/passwd'], ['--read|control|newline']),
    ('workdir_missing', ['-C', '/no/such/dir'], ['/no/such/dir']),
    ('workdir_file', ['-C', '/etc/passwd'], ['/etc/passwd']),
    ('write_root', ['--write', '/'], ['/']),
    ('tmpfs_size', ['--tmpfs', '/cache:much'], ['much']),
    ('tmpfs_relative_up', ['--tmpfs', '/etc/../proc/x:1M'], ['--tmpfs|/proc']),
    ('memory', ['--memory', 'lots'], ['lots']),
    ('memory_zero', ['--memory', '0'], ['memory']),
    ('pids_zero', ['--pids', '0'], ['pids']),
    ('pids_negative', ['--pids', '-3'], ['pids|-3']),
    ('timeout', ['--timeout', 'soon'], ['soon']),
    ('timeout_negative', ['--timeout', '-1s'], ['timeout|-1s']),
    ('open_files', ['--open-files', '99999999999999999999'], ['open']),
    ('connect_to_short', ['--connect-to', 'a.example.com:443'], ['connect-to', 'HOST:PORT:ADDR:PORT']),
    ('connect_to_port_0', ['--connect-to', 'a.example.com:0:127.0.0.1:1'], ['connect-to']),
    ('connect_to_port_65536', ['--connect-to', 'a.example.com:443:127.0.0.1:65536'], ['connect-to']),
    ('connect_to_empty_host', ['--connect-to', ':443:127.0.0.1:1'], ['connect-to']),
    ('upstream_ca_missing', ['--upstream-ca', '/no/such/ca.pem@a.example.com'], ['/no/such/ca.pem']),
    ('upstream_ca_garbage', ['--upstream-ca', '/etc/passwd@a.example.com', '--allow', 'a.example.com'], ['/etc/passwd']),
    ('env_empty_name', ['--env', '=x'], ['--env']),
    ('env_bad_name', ['--env', 'A B=x'], ['--env', 'NAME=VALUE']),
    ('env_file_missing', ['--env-file', '/no/such/env'], ['/no/such/env']),
    ('passthrough_and_http', ['--passthrough', 'a.example.com', '--allow', 'https://a.example.com/x'], ['a.example.com']),
    ('detach', ['-d', '-t'], ['-d|detach']),
    ('name', ['--name', 'x/1'], ['x/1', 'letters']),
    ('overlay_missing', ['--overlay', '/no/such/dir'], ['overlay', '/no/such/dir']),
    ('overlay_file', ['--overlay', '/etc/passwd'], ['overlay', 'directory']),
    ('auditor_form', ['--auditor', '/bin/true'], ['--auditor', 'unix:PATH', 'exec:COMMAND']),
    ('auditor_empty', ['--auditor', 'exec:'], ['--auditor', 'names no command']),
    ('terminal_both', ['-t', '-T'], ['-t|-T|terminal']),
]


@cases(FLAGS)
def flag(t, flags, words):
    box = Box(t)
    if flags == ['--allow']:
        result = box.nsbox('run', '--allow')
        equal((result.code, result.out), (125, ''), 'exit status and stdout')
        check('--allow' in result.err, '%r' % result)
        return
    if flags == ['-t', '-T']:
        result = box.nsbox('run', '-t', '-T', '--', 'true')
        check(result.code in (0, 125), '%r' % result)
        return
    refused(t, box, flags, words)


SECRETS = [
    ('no_target', 'KEY', {'KEY': 'long-enough-value'}, ['KEY|@']),
    ('empty_target', 'KEY@', {'KEY': 'long-enough-value'}, ['KEY|TARGET']),
    ('unset', 'KEY@a.example.com', {}, ['KEY']),
    ('empty_value', 'KEY@a.example.com', {'KEY': ''}, ['KEY']),
    ('short_value', 'KEY@a.example.com', {'KEY': 'short7c'}, ['KEY', '8']),
    ('newline_in_value', 'KEY@a.example.com', {'KEY': 'with-a-new\nline-in-it'}, ['KEY']),
    ('return_in_value', 'KEY@a.example.com', {'KEY': 'with-a-return\rin-it'}, ['KEY']),
    ('name', '1KEY@a.example.com', {}, ['--secret', 'NAME']),
    ('name_hyphen', 'A-B@a.example.com', {}, ['--secret', 'NAME']),
    ('empty_name', '@a.example.com', {}, ['NAME']),
    ('method', 'KEY@GET https://a.example.com', {'KEY': 'long-enough-value'}, ['KEY|GET|method']),
    ('missing_file', 'KEY=file:/no/such/secret@a.example.com', {}, ['/no/such/secret']),
    ('missing_variable', 'KEY=env:NOT_SET@a.example.com', {}, ['NOT_SET']),
    ('failing_command', 'KEY=exec:false@a.example.com', {}, ['KEY']),
    ('bad_target', 'KEY@*x.example.com', {'KEY': 'long-enough-value'}, ['x.example.com']),
]


@cases(SECRETS)
def secret(t, text, env, words):
    box = Box(t)
    box.env.update(env)
    result = refused(t, box, ['--allow', 'a.example.com', '--secret', text], words)
    for value in env.values():
        check(not value or value not in result.err, 'the value is printed')


@test
def secret_without_known_prefix_is_not_printed(t):
    """NAME=VALUE@HOST is what users of other tools type: the value must not be repeated."""
    result = refused(t, Box(t), ['--secret', 'KEY=sk-live-9f8e7d6c5b@a.example.com'], ['KEY', 'env:'])
    check('sk-live' not in result.err, 'the value is printed: %r' % result.err)


@test
def secret_with_net_none(t):
    refused(t, Box(t).add('--net', 'none', KEY='long-enough-value'), ['--secret', 'KEY@a.example.com'], ['none'])


@test
def secret_twice(t):
    box = Box(t).add(KEY='long-enough-value')
    result = box.nsbox('run', '--secret', 'KEY@a.example.com', '--secret', 'KEY=env:HOME@b.example.com', '--', 'true')
    check(result.code in (0, 125), '%r' % result)
    check('long-enough-value' not in result.err, 'the value is printed')


@test
def paths_that_race_are_named(t):
    """A dangling link as a grant is a missing path."""
    box = Box(t)
    os.symlink('/no/such/target', box.work + '/dangling')
    refused(t, box, ['--read', 'dangling'], ['dangling'])


@test
def unknown_subcommand(t):
    result = Box(t).nsbox('rnu')
    equal((result.code, result.out), (125, ''), 'exit status and stdout')
    check('rnu' in result.err, '%r' % result)


@test
def broken_environment(t):
    """State that cannot be written: the audit log is not optional."""
    if os.getuid() == 0:
        box = Box(t).add(XDG_STATE_HOME='/proc/nothing')
    else:
        box = Box(t)
        os.chmod(box.state, 0o500)
    refused(t, box, [], ['nsbox|state|/proc'])

