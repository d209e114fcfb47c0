# SPDX-License-Identifier: Apache-2.0
"""libsandbox for Python 3.9 or newer: the whole C API through ctypes, standard library only, in one file to copy.

    import libsandbox

    with libsandbox.Runtime() as runtime, runtime.create(libsandbox.Policy()) as box:
        done = box.run(['sh', '-c', 'echo hello; exit 3'])
        print(done.exit.status, done.stdout)

How it differs from C:

* What fails raises SandboxError, which carries errno, stage, object and message. Times are seconds.
* Handles are objects with close(); `with` closes them. One that is forgotten is closed by a later use of its runtime.
  A call lives as long as its object, as in C: closing it kills what still runs.
* A runtime may be used from several threads: a lock admits one at a time, and nobody holds it while waiting for a
  call. So a wait can be interrupted by Ctrl-C, and other threads start calls meanwhile.
* With asyncio: `await call.wait_async()`, `await box.run_async(...)`, `async for event in runtime.events_async()`; or
  any loop of your own over runtime.fileno() and runtime.dispatch().

The library is the argument of load(), or what ctypes.util.find_library() or pkg-config finds at the first use."""
import asyncio
import collections
import contextlib
import ctypes
import ctypes.util
import enum
import errno
import json
import math
import os
import select
import selectors
import subprocess
import threading
import time
import typing

SONAME = 'libsandbox.so.0'


class Stage(enum.IntEnum):
    """Where a failure happened."""
    NONE = 0
    USAGE = 1
    POLICY = 2
    HELPER = 3
    PROTOCOL = 4
    USER_NAMESPACE = 5
    NAMESPACE = 6
    MOUNT = 7
    NETWORK = 8
    LANDLOCK = 9
    SECCOMP = 10
    CAPABILITIES = 11
    LIMITS = 12
    GATEWAY = 13
    SECRET = 14
    AUDIT = 15
    TERMINAL = 16
    EXEC = 17
    AUDITOR = 18
    INTERNAL = 19
    OVERLAY = 20


class State(enum.IntEnum):
    """Where a call is."""
    STARTING = 0
    RUNNING = 1
    ENDED = 2
    FAILED = 3


class Stdio(enum.IntEnum):
    """In the place of a descriptor of a command."""
    NULL = -1
    PIPE = -2
    LOG = -3


NULL, PIPE, LOG = Stdio.NULL, Stdio.PIPE, Stdio.LOG


class Decision(enum.IntEnum):
    """The answer to what waits for a person."""
    DENY = 0
    APPROVE = 1
    APPROVE_ALWAYS = 2

# The C types of the API.
_int, _uint, _ulong, _text, _ptr = ctypes.c_int, ctypes.c_uint, ctypes.c_ulong, ctypes.c_char_p, ctypes.c_void_p
_argv = ctypes.POINTER(_text)     # const char *const *
_to_int = ctypes.POINTER(_int)
_to_ulong = ctypes.POINTER(_ulong)
_to_text = ctypes.POINTER(_text)  # const char **: owned by the library
_to_ptr = ctypes.POINTER(_ptr)    # handles, data, and fresh strings, which are freed by their address

# name: result, arguments...
PROTOTYPES = {
    # error.h
    'sandbox_error_errno': (_int, _ptr),
    'sandbox_error_stage': (_int, _ptr),
    'sandbox_stage_name': (_text, _int),
    'sandbox_error_object': (_text, _ptr),
    'sandbox_error_message': (_text, _ptr),
    'sandbox_error_free': (None, _ptr),
    # profile.h
    'sandbox_profile_list': (_int, _to_ptr, _to_ptr),
    'sandbox_profile_text': (_int, _text, _to_ptr, _to_ptr),
    'sandbox_profile_choose': (_int, _argv, _text, _to_ptr, _to_ptr),
    'sandbox_project_state': (_int, _text, _to_int, _to_ptr, _to_ptr, _to_ptr),
    'sandbox_project_trust': (_int, _text, _text, _to_ptr),
    # runtime.h
    'sandbox_runtime_new': (_int, _to_ptr, _to_ptr),
    'sandbox_runtime_set_events': (_int, _ptr, _text, _to_ptr),
    'sandbox_runtime_start': (_int, _ptr, _int, _to_ptr),
    'sandbox_runtime_free': (None, _ptr),
    'sandbox_runtime_set_helper_dir': (_int, _ptr, _text, _to_ptr),
    'sandbox_runtime_fd': (_int, _ptr),
    'sandbox_runtime_dispatch': (_int, _ptr, _to_ptr),
    'sandbox_runtime_next_event': (_int, _ptr, _to_ptr),
    'sandbox_version': (_text,),
    'sandbox_version_json': (_int, _to_ptr),
    'sandbox_doctor': (_int, _ptr, _to_ptr, _to_int, _to_ptr),
    # policy.h
    'sandbox_policy_new': (_int, _to_ptr, _to_ptr),
    'sandbox_policy_free': (None, _ptr),
    'sandbox_policy_set_workdir': (_int, _ptr, _text, _int, _to_ptr),
    'sandbox_policy_load_profile': (_int, _ptr, _text, _to_ptr),
    'sandbox_policy_load_file': (_int, _ptr, _text, _to_ptr),
    'sandbox_policy_load_project': (_int, _ptr, _to_int, _to_ptr),
    'sandbox_policy_set': (_int, _ptr, _text, _text, _text, _text, _to_ptr),
    'sandbox_policy_set_secret_value': (_int, _ptr, _text, _ptr, _ulong, _to_ptr),
    'sandbox_policy_set_audit_log': (_int, _ptr, _text, _to_ptr),
    'sandbox_policy_set_fork': (_int, _ptr, _text, _to_ptr),
    'sandbox_policy_check': (_int, _ptr, _to_ptr),
    'sandbox_policy_dump': (_int, _ptr, _to_ptr, _to_ptr),
    'sandbox_policy_check_url': (_int, _ptr, _text, _text, _to_int, _to_ptr, _to_ptr),
    'sandbox_policy_check_path': (_int, _ptr, _text, _int, _to_int, _to_ptr, _to_ptr),
    'sandbox_policy_auditor': (_text, _ptr),
    'sandbox_policy_warnings': (_text, _ptr),
    # grant.h
    'sandbox_grant_new': (_int, _to_ptr, _to_ptr),
    'sandbox_grant_from_template': (_int, _ptr, _text, _to_ptr, _to_ptr),
    'sandbox_grant_for_argv': (_int, _ptr, _argv, _to_ptr, _to_ptr),
    'sandbox_grant_free': (None, _ptr),
    'sandbox_grant_set': (_int, _ptr, _text, _text, _text, _to_ptr),
    'sandbox_grant_check': (_int, _ptr, _ptr, _to_ptr),
    'sandbox_grant_is_subset': (_int, _ptr, _ptr, _to_int, _to_ptr, _to_ptr),
    'sandbox_grant_intersect': (_int, _ptr, _ptr, _to_ptr, _to_ptr),
    'sandbox_grant_dump': (_int, _ptr, _to_ptr, _to_ptr),
    'sandbox_grant_check_url': (_int, _ptr, _ptr, _text, _text, _to_int, _to_ptr, _to_ptr),
    'sandbox_grant_check_path': (_int, _ptr, _ptr, _text, _int, _to_int, _to_ptr, _to_ptr),
    'sandbox_grant_check_secret': (_int, _ptr, _ptr, _text, _to_int, _to_ptr, _to_ptr),
    # approval.h
    'sandbox_approvals': (_int, _ptr, _to_ptr, _to_ptr),
    'sandbox_decide': (_int, _ptr, _text, _text, _int, _to_ptr),
    # authority.h
    'sandbox_add_rule': (_int, _ptr, _text, _text, _to_ptr),
    'sandbox_disallow': (_int, _ptr, _text, _to_ptr),
    'sandbox_rules': (_int, _ptr, _to_ptr, _to_ptr),
    'sandbox_add_secret': (_int, _ptr, _ptr, _text, _to_ptr),
    'sandbox_rotate_secret': (_int, _ptr, _ptr, _text, _to_ptr),
    'sandbox_revoke_secret': (_int, _ptr, _text, _to_ptr),
    # call.h
    'sandbox_create': (_int, _ptr, _ptr, _to_ptr, _to_ptr),
    'sandbox_id': (_text, _ptr),
    'sandbox_audit_log': (_text, _ptr),
    'sandbox_set_pool': (_int, _ptr, _uint, _to_ptr),
    'sandbox_signal': (_int, _ptr, _int, _to_ptr),
    'sandbox_inspect': (_int, _ptr, _to_ptr, _to_ptr),
    'sandbox_free': (None, _ptr),
    'sandbox_command_new': (_int, _argv, _to_ptr, _to_ptr),
    'sandbox_command_free': (None, _ptr),
    'sandbox_command_set_stdio': (_int, _ptr, _int, _int, _int),
    'sandbox_command_set_terminal': (_int, _ptr, _uint, _uint),
    'sandbox_command_set_directory': (_int, _ptr, _text, _to_ptr),
    'sandbox_command_set_env': (_int, _ptr, _text, _text, _to_ptr),
    'sandbox_command_set_isolation': (_int, _ptr, _text, _to_ptr),
    'sandbox_command_set_timeout': (_int, _ptr, _ulong),
    'sandbox_command_set_background': (_int, _ptr, _int),
    'sandbox_command_set_detached': (_int, _ptr, _int),
    'sandbox_command_set_last': (_int, _ptr, _int),
    'sandbox_command_set_grant': (_int, _ptr, _ptr, _to_ptr),
    'sandbox_command_set_template': (_int, _ptr, _text, _to_ptr),
    'sandbox_grant_from_sandbox': (_int, _ptr, _text, _to_ptr, _to_ptr),
    'sandbox_start': (_int, _ptr, _ptr, _to_ptr, _to_ptr),
    'sandbox_start_async': (_int, _ptr, _ptr, _to_ptr, _to_ptr),
    'sandbox_call_state': (_int, _ptr),
    'sandbox_call_error': (_ptr, _ptr),
    'sandbox_call_id': (_text, _ptr),
    'sandbox_call_terminal': (_int, _ptr),
    'sandbox_call_take_stdio': (_int, _ptr, _int),
    'sandbox_call_signal': (_int, _ptr, _int, _to_ptr),
    'sandbox_call_cancel': (_int, _ptr, _to_ptr),
    'sandbox_call_revoke': (_int, _ptr, _to_ptr),
    'sandbox_call_wait': (_int, _ptr, _int, _to_ptr),
    'sandbox_call_exit_status': (_int, _ptr),
    'sandbox_call_exit_signal': (_int, _ptr),
    'sandbox_call_reason': (_text, _ptr),
    'sandbox_call_free': (None, _ptr),
    # event.h
    'sandbox_event_name': (_text, _ptr),
    'sandbox_event_sandbox': (_text, _ptr),
    'sandbox_event_call': (_text, _ptr),
    'sandbox_event_reason': (_text, _ptr),
    'sandbox_event_json': (_text, _ptr),
    'sandbox_event_free': (None, _ptr),
    # named.h
    'sandbox_create_named': (_int, _ptr, _ptr, _text, _to_ptr, _to_ptr),
    'sandbox_open': (_int, _ptr, _text, _to_ptr, _to_ptr),
    'sandbox_open_inside': (_int, _ptr, _to_ptr, _to_ptr),
    'sandbox_name': (_text, _ptr),
    'sandbox_remove': (_int, _ptr, _int, _to_ptr),
    'sandbox_signal_call': (_int, _ptr, _text, _int, _to_ptr),
    'sandbox_revoke_call': (_int, _ptr, _text, _to_ptr),
    'sandbox_list': (_int, _to_ptr, _to_ptr),
    'sandbox_prune': (_int, _to_ptr, _to_ptr),
    'sandbox_output_open': (_int, _text, _to_ptr, _to_ptr),
    'sandbox_output_next': (_int, _ptr, _to_int, _to_text, _to_ptr, _to_ulong),
    'sandbox_output_free': (None, _ptr),
    # changes.h
    'sandbox_has_overlay': (_int, _ptr),
    'sandbox_changes_list': (_int, _to_ptr, _to_ptr),
    'sandbox_changes_count': (_int, _text, _to_ulong, _to_ptr),
    'sandbox_changes_read': (_int, _text, _argv, _uint, _to_ptr, _to_ptr),
    'sandbox_changes_patch': (_int, _text, _argv, _int, _to_ptr),
    'sandbox_changes_commit': (_int, _text, _argv, _uint, _to_ulong, _to_ptr),
    'sandbox_changes_commit_reviewed': (_int, _text, _argv, _uint, _text, _to_ulong, _to_ptr),
    'sandbox_changes_snapshot': (_int, _text, _text, _to_ptr),
    'sandbox_changes_rollback': (_int, _text, _text, _to_ptr),
    'sandbox_changes_discard': (_int, _text, _argv, _to_ulong, _to_ptr),
    'sandbox_changes_call_read': (_int, _ptr, _text, _argv, _uint, _to_ptr, _to_ptr),
    'sandbox_changes_call_patch': (_int, _ptr, _text, _argv, _int, _to_ptr),
    'sandbox_changes_call_commit': (_int, _ptr, _text, _text, _to_ulong, _to_ptr),
    'sandbox_changes_call_discard': (_int, _ptr, _text, _to_ulong, _to_ptr),
    'sandbox_changes_call_rollback': (_int, _ptr, _text, _to_ulong, _to_ptr),
    # audit.h
    'sandbox_audit_path': (_int, _text, _to_ptr, _to_ptr),
    'sandbox_audit_verify': (_int, _text, _text, _to_int, _to_ptr, _to_ptr),
}


# ---- The library and its errors

class SandboxError(OSError):
    """A failure of the library: errno, stage (a Stage), object (what it was about, or '') and message."""

    def __init__(self, number, stage=Stage.NONE, object='', message=''):
        message = message or os.strerror(number)
        super().__init__(number, message)
        self.stage, self.object, self.message = stage, object, message

    def __str__(self):
        return self.message


class SandboxTimeout(SandboxError, TimeoutError):
    """A wait took longer than it was allowed to; what was waited for goes on."""


class _Library:
    """Functions get their types at their first use, so an older library serves as far as it goes."""

    def __init__(self, dll):
        self._dll = dll

    def __getattr__(self, name):
        if name not in PROTOTYPES:
            raise AttributeError(name)
        try:
            function = getattr(self._dll, name)
        except AttributeError:
            raise NotImplementedError('%s is older than this module: it has no %s()'
                                      % (self._dll._name, name)) from None
        function.restype, function.argtypes = PROTOTYPES[name][0], PROTOTYPES[name][1:]
        setattr(self, name, function)
        return function


_library = None
_free = ctypes.CDLL(None).free
_free.restype, _free.argtypes = None, (_ptr,)


def _candidates(path):
    if path is not None:
        yield os.fspath(path)
        return
    yield ctypes.util.find_library('sandbox')
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        asked = subprocess.run(['pkg-config', '--variable=libdir', 'libsandbox'], stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=20)
        directory = os.fsdecode(asked.stdout).strip()
        yield os.path.join(directory, SONAME) if directory else None


def load(path=None):
    """Load this file, or the library that the system or pkg-config finds. Otherwise the first use does the latter."""
    global _library
    tried = []
    for candidate in filter(None, _candidates(path)):
        try:
            dll = ctypes.CDLL(candidate)
        except OSError as why:
            tried.append(str(why))
            continue
        # Gentoo's sandbox has a library of the same name.
        if hasattr(dll, 'sandbox_runtime_new'):
            _library = _Library(dll)
            return
        tried.append('%s is another library of this name' % candidate)
    raise OSError(errno.ENOENT, 'cannot load libsandbox (%s): install it, or give its path to libsandbox.load()'
                  % ('; '.join(tried) or 'neither the system nor pkg-config knows it'))


def _function(name):
    if _library is None:
        load()
    return getattr(_library, name)


def _in(value):
    """A string or path as C has it. A NUL would silently cut it, so it is refused; and None would be a crash."""
    data = os.fsencode(value)
    if b'\0' in data:
        raise ValueError('embedded null byte')
    return data


def _in_or_null(value):
    return None if value is None else _in(value)


def _out(data):
    return os.fsdecode(data or b'')


def _describe(pointer, number=0):
    """SandboxError of a sandbox_error, which stays; without one (out of memory) only the number is known."""
    if not pointer:
        return SandboxError(number)
    stage = _function('sandbox_error_stage')(pointer)
    with contextlib.suppress(ValueError):
        stage = Stage(stage)
    number = _function('sandbox_error_errno')(pointer)
    kind = SandboxTimeout if number == errno.ETIMEDOUT else SandboxError
    return kind(number, stage, _out(_function('sandbox_error_object')(pointer)),
                _out(_function('sandbox_error_message')(pointer)))


def _invoke(name, *arguments):
    """Call a function whose last argument is a sandbox_error **; its result, or the exception."""
    error = _ptr()
    code = _function(name)(*arguments, ctypes.byref(error))
    if code < 0:
        try:
            raise _describe(error, -code)
        finally:
            _function('sandbox_error_free')(error)
    return code


def _take(pointer):
    """A fresh string of the library, which is freed."""
    try:
        return _out(ctypes.string_at(pointer.value)) if pointer.value else ''
    finally:
        _free(pointer)


def _milliseconds(seconds):
    """Never rounded down to 0, which would mean something else."""
    if seconds is None or seconds == 0:
        return 0
    if seconds < 0:
        raise ValueError('a time must not be negative')
    return math.ceil(seconds * 1000)


def _deadline(timeout):
    return None if timeout is None else time.monotonic() + timeout


def _left(deadline):
    return None if deadline is None else max(0.0, deadline - time.monotonic())


def stage_name(stage):
    """Stable lower-case word for a stage."""
    return _out(_function('sandbox_stage_name')(stage))


def version():
    return _out(_function('sandbox_version')())


def version_info():
    """{version, api, landlock_abi, kernel}."""
    text = _ptr()
    code = _function('sandbox_version_json')(ctypes.byref(text))
    if code < 0:
        raise SandboxError(-code)
    return json.loads(_take(text))


def profiles():
    """The built-in profiles: {name, summary, commands} each."""
    text = _ptr()
    _invoke('sandbox_profile_list', ctypes.byref(text))
    return json.loads(_take(text))


def profile_text(name):
    """One of them, as a policy file."""
    text = _ptr()
    _invoke('sandbox_profile_text', _in(name), ctypes.byref(text))
    return _take(text)


def profiles_for(argv, workdir=None):
    """Those that go with a command by its name: {profile, by} each, in the order in which to load them."""
    text = _ptr()
    words = (_text * (len(argv) + 1))(*[_in(word) for word in argv], None)
    _invoke('sandbox_profile_choose', words, _in_or_null(workdir), ctypes.byref(text))
    return json.loads(_take(text))


def project_state(directory):
    """What is known of .nsbox.ini there: ('none', 'trusted', 'unknown' or 'changed', its text, the trusted text)."""
    state, text, trusted = _int(), _ptr(), _ptr()
    _invoke('sandbox_project_state', _in(directory), ctypes.byref(state), ctypes.byref(text), ctypes.byref(trusted))
    return (_PROJECT_STATES[state.value], _take(text) if text else None, _take(trusted) if trusted else None)


def trust_project(directory, text):
    """Trust exactly this text as .nsbox.ini there."""
    _invoke('sandbox_project_trust', _in(directory), _in(text))


_PROJECT_STATES = ('none', 'trusted', 'unknown', 'changed')


def list_sandboxes():
    """The named sandboxes of this user: {name, id, state, pid, created, workdir, net} each."""
    text = _ptr()
    _invoke('sandbox_list', ctypes.byref(text))
    return json.loads(_take(text))


def prune():
    """Remove every named sandbox in which no call runs; their names."""
    text = _ptr()
    _invoke('sandbox_prune', ctypes.byref(text))
    return json.loads(_take(text))


def audit_path(id=None):
    """Path of the audit log of a sandbox, or of the newest one."""
    text = _ptr()
    _invoke('sandbox_audit_path', _in_or_null(id), ctypes.byref(text))
    return _take(text)


def audit_verify(path, head=None):
    """Check the chain of a log, and that `head` is its last record: (whether it is intact, a sentence about it)."""
    text, ok = _ptr(), _int()
    _invoke('sandbox_audit_verify', _in(path), _in_or_null(head), ctypes.byref(ok), ctypes.byref(text))
    return bool(ok.value), _take(text)


# ---- What was written into overlaid directories. paths: a list, or None for everything.

def _paths(paths):
    if paths is None:
        return None
    words = [_in(path) for path in paths]
    return (_text * (len(words) + 1))(*words, None)


def list_changes():
    """Sandboxes with changes: {id, name, workdir, roots, in_use} each."""
    text = _ptr()
    _invoke('sandbox_changes_list', ctypes.byref(text))
    return json.loads(_take(text))


def count_changes(sandbox):
    """How many files a sandbox changed, by its id or name."""
    count = _ulong()
    _invoke('sandbox_changes_count', _in(sandbox), ctypes.byref(count))
    return count.value


def changes(sandbox, paths=None, lines=False, digest=False):
    """{id, name, workdir, roots, in_use, calls, count, changes}; lines: also count lines that came and went; digest: also
    one of all that a commit would do."""
    text = _ptr()
    flags = (1 if lines else 0) | (2 if digest else 0)
    _invoke('sandbox_changes_read', _in(sandbox), _paths(paths), flags, ctypes.byref(text))
    return json.loads(_take(text))


def write_patch(sandbox, file, paths=None):
    """A unified diff, written to a file or descriptor. Nothing in it is escaped."""
    _invoke('sandbox_changes_patch', _in(sandbox), _paths(paths), file if isinstance(file, int) else file.fileno())


def commit(sandbox, paths=None, accept_executable=False, digest=None):
    """Apply changes to the host; how many files. Nothing is applied when one of them is refused, or when they are not
    those of the digest."""
    count = _ulong()
    what = _in(sandbox), _paths(paths), 1 if accept_executable else 0
    if digest is None:
        _invoke('sandbox_changes_commit', *what, ctypes.byref(count))
    else:
        _invoke('sandbox_changes_commit_reviewed', *what, _in(digest), ctypes.byref(count))
    return count.value


def discard(sandbox, paths=None):
    """Give changes up; how many files."""
    count = _ulong()
    _invoke('sandbox_changes_discard', _in(sandbox), _paths(paths), ctypes.byref(count))
    return count.value


def snapshot(sandbox, name):
    """Copy the changes under a name, which all of these functions take."""
    _invoke('sandbox_changes_snapshot', _in(sandbox), _in(name))


def rollback(sandbox, name):
    """Make the changes those of the snapshot."""
    _invoke('sandbox_changes_rollback', _in(sandbox), _in(name))


# ---- Objects

class _Handle:
    """Something of the library that is freed once."""
    FREE = ''
    _pointer = None

    def _get(self):
        if self._pointer is None:
            raise ValueError('this %s is closed' % type(self).__name__.lower())
        return self._pointer

    def close(self):
        pointer, self._pointer = self._pointer, None
        if pointer:
            _function(self.FREE)(pointer)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()

    def __del__(self):
        # At the end of the interpreter the kernel tidies up: the supervisor sees the end of its connection.
        if _library is not None:
            self.close()


class Verdict(typing.NamedTuple):
    """What a policy says about a request or a path."""
    allowed: bool
    rule: str
    source: str
    reason: str


def _decide(name, *arguments):
    allowed, text = _int(), _ptr()
    _invoke(name, *arguments, ctypes.byref(allowed), ctypes.byref(text))
    said = json.loads(_take(text))
    return Verdict(bool(allowed.value), said['rule'], said['source'], said['reason'])


class Policy(_Handle):
    """What a sandbox may do at most, by layers in order. The setters return the policy."""
    FREE = 'sandbox_policy_free'

    def __init__(self, workdir=None, force=False):
        pointer = _ptr()
        _invoke('sandbox_policy_new', ctypes.byref(pointer))
        self._pointer = pointer
        if workdir is not None:
            self.set_workdir(workdir, force)

    def _do(self, name, *arguments):
        _invoke(name, self._get(), *arguments)
        return self

    def set_workdir(self, directory=None, force=False):
        return self._do('sandbox_policy_set_workdir', _in_or_null(directory), force)

    def load_profile(self, name):
        return self._do('sandbox_policy_load_profile', _in(name))

    def load_file(self, path):
        return self._do('sandbox_policy_load_file', _in(path))

    def load_project(self):
        """Apply .nsbox.ini of the workspace when it is trusted; what it is, as of project_state()."""
        state = _int()
        self._do('sandbox_policy_load_project', ctypes.byref(state))
        return _PROJECT_STATES[state.value]

    def set(self, section, key, value, origin=None):
        """One setting, as the line `key = value` in [section] of a policy file."""
        return self._do('sandbox_policy_set', _in(section), _in(key), _in(value), _in_or_null(origin))

    def set_secret_value(self, name, value):
        """Python keeps copies of what it was given; the library wipes its own."""
        data = value.encode() if isinstance(value, str) else bytes(value)
        return self._do('sandbox_policy_set_secret_value', _in(name), data, len(data))

    def set_audit_log(self, path):
        return self._do('sandbox_policy_set_audit_log', _in(path))

    def set_fork(self, name):
        """Begin with a copy of the changes of a sandbox, or of a snapshot, in the overlaid directories."""
        return self._do('sandbox_policy_set_fork', _in(name))

    def check(self):
        return self._do('sandbox_policy_check')

    def dump(self):
        text = _ptr()
        self._do('sandbox_policy_dump', ctypes.byref(text))
        return _take(text)

    def check_url(self, url, method=None):
        return _decide('sandbox_policy_check_url', self._get(), _in(url), _in_or_null(method))

    def check_path(self, path, write=False):
        return _decide('sandbox_policy_check_path', self._get(), _in(path), write)

    def grant(self, name):
        """A copy of [grant NAME]."""
        pointer = _ptr()
        self._do('sandbox_grant_from_template', _in(name), ctypes.byref(pointer))
        return Grant(_pointer=pointer)

    def grant_for(self, argv):
        """Name of the first [grant NAME] that is bound to this command, or None."""
        name = _ptr()
        words = (_text * (len(argv) + 1))(*[_in(word) for word in argv], None)
        self._do('sandbox_grant_for_argv', words, ctypes.byref(name))
        return _take(name) or None

    @property
    def auditor(self):
        """Where the auditor is that it names, or None."""
        return _out(_function('sandbox_policy_auditor')(self._get())) or None

    @property
    def warnings(self):
        return _out(_function('sandbox_policy_warnings')(self._get())).splitlines()


class Grant(_Handle):
    """The authority of one call, narrower than a policy. set() returns the grant."""
    FREE = 'sandbox_grant_free'

    def __init__(self, _pointer=None):
        if _pointer is None:
            _pointer = _ptr()
            _invoke('sandbox_grant_new', ctypes.byref(_pointer))
        self._pointer = _pointer

    def set(self, key, value, origin=None):
        """One line `key = value` as in [grant NAME]."""
        _invoke('sandbox_grant_set', self._get(), _in(key), _in(value), _in_or_null(origin))
        return self

    def check(self, policy):
        """Raises SandboxError with EPERM, naming the first excess, when it is not within the policy."""
        _invoke('sandbox_grant_check', self._get(), policy._get())
        return self

    def excess(self, other):
        """None when it is at most the other, else a sentence about the first excess."""
        subset, text = _int(), _ptr()
        _invoke('sandbox_grant_is_subset', self._get(), other._get(), ctypes.byref(subset), ctypes.byref(text))
        said = _take(text)
        return None if subset.value else said

    def intersect(self, other):
        pointer = _ptr()
        _invoke('sandbox_grant_intersect', self._get(), other._get(), ctypes.byref(pointer))
        return Grant(_pointer=pointer)

    def dump(self):
        text = _ptr()
        _invoke('sandbox_grant_dump', self._get(), ctypes.byref(text))
        return _take(text)

    def check_url(self, policy, url, method=None):
        return _decide('sandbox_grant_check_url', self._get(), policy._get(), _in(url), _in_or_null(method))

    def check_path(self, policy, path, write=False):
        return _decide('sandbox_grant_check_path', self._get(), policy._get(), _in(path), write)

    def check_secret(self, policy, name):
        return _decide('sandbox_grant_check_secret', self._get(), policy._get(), _in(name))


class Command(_Handle):
    """What a call is to run. stdin, stdout, stderr: a descriptor, an object with fileno(), NULL, PIPE or LOG.

    terminal is (rows, columns), env a mapping, timeout seconds; the rest is as in C."""
    FREE = 'sandbox_command_free'

    def __init__(self, argv, *, stdin=0, stdout=1, stderr=2, terminal=None, directory=None, env=None, isolation=None,
                 timeout=None, background=False, detached=False, last=False, grant=None, template=None):
        if isinstance(argv, (str, bytes)):
            raise TypeError('argv is a sequence of words; for a shell give ["sh", "-c", COMMAND]')
        words = [_in(word) for word in argv]
        pointer = _ptr()
        _invoke('sandbox_command_new', (_text * (len(words) + 1))(*words, None), ctypes.byref(pointer))
        self._pointer = pointer
        self._stdio = (stdin, stdout, stderr)  # kept open until the call has started
        if terminal is not None:
            self._do('sandbox_command_set_terminal', *terminal)
        else:
            self._do('sandbox_command_set_stdio', *map(self._descriptor, self._stdio))
        if directory is not None:
            _invoke('sandbox_command_set_directory', pointer, _in(directory))
        for name, value in (env or {}).items():
            _invoke('sandbox_command_set_env', pointer, _in(name), _in(value))
        if isolation is not None:
            _invoke('sandbox_command_set_isolation', pointer, _in(isolation))
        if timeout is not None:
            self._do('sandbox_command_set_timeout', _milliseconds(timeout))
        if background:
            self._do('sandbox_command_set_background', True)
        if detached:
            self._do('sandbox_command_set_detached', True)
        if last:
            self._do('sandbox_command_set_last', True)
        if grant is not None:
            _invoke('sandbox_command_set_grant', pointer, grant._get())
        if template is not None:
            _invoke('sandbox_command_set_template', pointer, _in(template))

    @staticmethod
    def _descriptor(value):
        if isinstance(value, Stdio):
            return value
        value = value if isinstance(value, int) else value.fileno()
        if value < 0:  # subprocess.PIPE is -1, which is NULL here
            raise ValueError('not a descriptor: %d; there are NULL, PIPE and LOG of this module' % value)
        return value

    def _do(self, name, *arguments):
        code = _function(name)(self._pointer, *arguments)
        if code < 0:
            raise SandboxError(-code, Stage.USAGE, name)


class Event(typing.NamedTuple):
    """One record of an audit log; `record` is all of it."""
    name: str
    sandbox: str
    call: str
    reason: str
    record: dict


class Exit(typing.NamedTuple):
    """How a call ended: status, signal (0: none), and "exit", "signal", "timeout", "killed", "lost", "expired", "revoked" or
    "unrecorded"."""
    status: int
    signal: int
    reason: str

    @property
    def shell_status(self):
        """One number, as nsbox run gives it."""
        ours = {'timeout': 124, 'unrecorded': 125}.get(self.reason)
        return ours or (128 + self.signal if self.signal else self.status)


class Completed(typing.NamedTuple):
    exit: Exit
    stdout: typing.Optional[bytes]
    stderr: typing.Optional[bytes]


class Runtime(_Handle):
    """The connection to the supervisors. events: which are sent, names in a string with commas or a list."""
    FREE = 'sandbox_runtime_free'

    def __init__(self, helper_dir=None, events=None):
        # A lock that its thread may take again: a Python signal handler runs between two steps of this code.
        self._lock = threading.RLock()
        self._wakers = set()   # called after whatever may have taken in messages, by whichever thread
        self._pumps = {}       # asyncio loop -> (descriptor, users)
        self._forgotten = collections.deque()
        pointer = _ptr()
        _invoke('sandbox_runtime_new', ctypes.byref(pointer))
        self._pointer = pointer
        if helper_dir is not None:
            self._call('sandbox_runtime_set_helper_dir', pointer, _in(helper_dir))
        if events is not None:
            names = events if isinstance(events, str) else ','.join(events)
            self._call('sandbox_runtime_set_events', pointer, _in(names))

    def _call(self, name, *arguments):
        """Something that may talk to a supervisor, and then take in what others wait for: wake them."""
        with self._lock:
            try:
                self._free_forgotten()
                return _invoke(name, *arguments)
            finally:
                self._wake()

    def _ask(self, name, *arguments):
        """Something that only looks."""
        with self._lock:
            return _function(name)(*arguments)

    def _wake(self):
        for waker in list(self._wakers):
            waker()

    def _free_forgotten(self):
        while self._forgotten:
            name, pointer = self._forgotten.popleft()
            _function(name)(pointer)

    def start(self, gateway=False):
        self._call('sandbox_runtime_start', self._get(), gateway)

    def close(self):
        with self._lock:
            super().close()
            self._free_forgotten()  # allowed afterwards, and cheaper then
            self._wake()

    def fileno(self):
        return self._ask('sandbox_runtime_fd', self._get())

    def dispatch(self):
        """Take in what the supervisors sent. SandboxError with ECONNRESET, once, when one of them is gone."""
        self._call('sandbox_runtime_dispatch', self._get())

    def _take_in(self):
        # The call or sandbox that a lost supervisor had says so itself.
        with contextlib.suppress(SandboxError):
            self.dispatch()

    def call_changes(self, call, paths=None, lines=False, digest=False):
        """changes() of the layer of one call (view='scratch'), by its id."""
        text = _ptr()
        flags = (1 if lines else 0) | (2 if digest else 0)
        self._call('sandbox_changes_call_read', self._get(), _in(call), _paths(paths), flags, ctypes.byref(text))
        return json.loads(_take(text))

    def write_call_patch(self, call, file, paths=None):
        """write_patch() of it."""
        self._call('sandbox_changes_call_patch', self._get(), _in(call), _paths(paths),
                   file if isinstance(file, int) else file.fileno())

    def commit_call(self, call, digest=None):
        """Merge it into the working state of its sandbox; how many files."""
        count = _ulong()
        self._call('sandbox_changes_call_commit', self._get(), _in(call), _in_or_null(digest), ctypes.byref(count))
        return count.value

    def discard_call(self, call):
        """Give it up; how many files."""
        count = _ulong()
        self._call('sandbox_changes_call_discard', self._get(), _in(call), ctypes.byref(count))
        return count.value

    def rollback_call(self, call):
        """Give it up, or take its merging back; how many files."""
        count = _ulong()
        self._call('sandbox_changes_call_rollback', self._get(), _in(call), ctypes.byref(count))
        return count.value

    def next_event(self):
        """The oldest event not pulled yet, or None."""
        pointer = _ptr()
        code = self._ask('sandbox_runtime_next_event', self._get(), ctypes.byref(pointer))
        if code < 0:
            raise SandboxError(-code)
        if not pointer:
            return None
        try:
            name, box, call, reason, text = (_out(_function('sandbox_event_' + member)(pointer))
                                             for member in ('name', 'sandbox', 'call', 'reason', 'json'))
        finally:
            _function('sandbox_event_free')(pointer)
        return Event(name, box, call, reason, json.loads(text))

    def events(self):
        """Those that are there now."""
        self._take_in()
        while True:
            event = self.next_event()
            if event is None:
                return
            yield event

    async def events_async(self):
        """Those that are there and those to come."""
        found = []

        def ready():
            event = None if found else self.next_event()
            if event is not None:
                found.append(event)
            return bool(found)

        while True:
            if not ready():
                await self._until_async(ready)
            yield found.pop()

    def doctor(self):
        """Examine this machine: (whether all that is required is there, a list of {control, status, fix})."""
        text, ok = _ptr(), _int()
        self._call('sandbox_doctor', self._get(), ctypes.byref(text), ctypes.byref(ok))
        return bool(ok.value), json.loads(_take(text))

    def create(self, policy):
        """A sandbox that lives as long as its object."""
        return Sandbox(self, 'sandbox_create', policy._get())

    def create_named(self, policy, name=None):
        """A sandbox that stays; without a name it has its id."""
        return Sandbox(self, 'sandbox_create_named', policy._get(), _in_or_null(name))

    def open(self, name):
        """Find a named sandbox by name or id."""
        return Sandbox(self, 'sandbox_open', _in(name))

    def open_inside(self):
        """The sandbox around this process, for calls that may less than its own."""
        return Sandbox(self, 'sandbox_open_inside')

    # -- waiting

    def _until(self, ready, deadline):
        """Wait for ready(), which only looks; False at the deadline.

        Not sandbox_call_wait(): that would keep the lock, and Python's signal handlers from running."""
        if ready():
            return True
        self._take_in()
        reader, writer = os.pipe()

        def waker():
            with contextlib.suppress(BlockingIOError):
                os.write(writer, b'.')

        os.set_blocking(writer, False)
        with self._lock:
            self._wakers.add(waker)
        try:
            poll = select.poll()
            poll.register(reader, select.POLLIN)
            poll.register(self.fileno(), select.POLLIN)
            while not ready():
                left = _left(deadline)
                if left == 0:
                    return False
                for descriptor, _ in poll.poll(None if left is None else math.ceil(left * 1000)):
                    if descriptor == reader:
                        os.read(reader, 4096)
                    else:
                        self._take_in()
            return True
        finally:
            with self._lock:
                self._wakers.discard(waker)
            os.close(reader)
            os.close(writer)

    async def _until_async(self, ready):
        """The same for asyncio."""
        loop = asyncio.get_running_loop()
        event = asyncio.Event()

        def waker():
            loop.call_soon_threadsafe(event.set)

        with self._lock:
            self._wakers.add(waker)
            # A descriptor of our own for the loop: it has one reader for each, and the application may have one too.
            descriptor, users = self._pumps.get(loop) or (os.dup(self.fileno()), 0)
            self._pumps[loop] = descriptor, users + 1
            if users == 0:
                loop.add_reader(descriptor, self._take_in)
        try:
            self._take_in()
            while not ready():
                event.clear()
                if not ready():
                    await event.wait()
        finally:
            with self._lock:
                self._wakers.discard(waker)
                descriptor, users = self._pumps.pop(loop)
                if users > 1:
                    self._pumps[loop] = descriptor, users - 1
                else:
                    loop.remove_reader(descriptor)
                    os.close(descriptor)


class _Owned(_Handle):
    """Made from a runtime. The collector of garbage runs in any thread, so what it finds is left to the runtime."""
    _runtime = None

    def close(self):
        runtime = self._runtime
        if runtime is not None and self._pointer is not None:
            with runtime._lock:
                super().close()
                runtime._wake()

    def __del__(self):
        pointer, self._pointer = self._pointer, None
        if _library is not None and pointer:
            self._runtime._forgotten.append((self.FREE, pointer))
            if self._runtime._pointer is None:
                self._runtime._free_forgotten()


class Sandbox(_Owned):
    """From Runtime.create(), create_named() or open()."""
    FREE = 'sandbox_free'

    def __init__(self, runtime, how, *arguments):
        pointer = _ptr()
        runtime._call(how, runtime._get(), *arguments, ctypes.byref(pointer))
        self._runtime, self._pointer = runtime, pointer

    def grant(self, name):
        """A copy of [grant NAME] of the policy that it was made from."""
        pointer = _ptr()
        _invoke('sandbox_grant_from_sandbox', self._get(), _in(name), ctypes.byref(pointer))
        return Grant(_pointer=pointer)

    @property
    def runtime(self):
        return self._runtime

    @property
    def id(self):
        return _out(self._runtime._ask('sandbox_id', self._get()))

    @property
    def name(self):
        return _out(self._runtime._ask('sandbox_name', self._get()))

    @property
    def audit_log(self):
        return _out(self._runtime._ask('sandbox_audit_log', self._get()))

    def set_pool(self, depth):
        """How many calls are prepared ahead, at most 256."""
        if not 0 <= depth <= 0xffffffff:  # ctypes would cut it
            raise ValueError('no such pool: %d' % depth)
        self._runtime._call('sandbox_set_pool', self._get(), depth)

    def signal(self, number):
        """Send a signal to every running call."""
        self._runtime._call('sandbox_signal', self._get(), number)

    def signal_call(self, call, number):
        """Send a signal to one call in it by its id, whoever started it."""
        self._runtime._call('sandbox_signal_call', self._get(), _in(call), number)

    def revoke_call(self, call):
        """Revoke one call in it by its id, whoever started it."""
        self._runtime._call('sandbox_revoke_call', self._get(), _in(call))

    def allow(self, rule, key='allow'):
        """Add a rule to what it may reach, for what runs in it too; key: allow, allow_private or passthrough."""
        self._runtime._call('sandbox_add_rule', self._get(), _in(key), _in(rule))

    def disallow(self, rule):
        """Take a rule away; what only it allowed is cut when this returns."""
        self._runtime._call('sandbox_disallow', self._get(), _in(rule))

    def add_secret(self, policy, name):
        """Give it a secret of a Policy that has its section, for calls that start from now on."""
        self._runtime._call('sandbox_add_secret', self._get(), policy._get(), _in(name))

    def rotate_secret(self, name, policy=None):
        """Another value for a secret, read as the Policy says, or as the sandbox's own does."""
        self._runtime._call('sandbox_rotate_secret', self._get(), policy._get() if policy else None, _in(name))

    def revoke_secret(self, name):
        """Its placeholders are worth nothing from here on."""
        self._runtime._call('sandbox_revoke_secret', self._get(), _in(name))

    def rules(self):
        """Its rules as they are now, as dictionaries."""
        text = _ptr()
        self._runtime._call('sandbox_rules', self._get(), ctypes.byref(text))
        return json.loads(_take(text))

    def approvals(self):
        """What waits for a person, oldest first, as dictionaries."""
        text = _ptr()
        self._runtime._call('sandbox_approvals', self._get(), ctypes.byref(text))
        return json.loads(_take(text))

    def decide(self, ticket, digest, decision):
        """Answer it with a Decision."""
        self._runtime._call('sandbox_decide', self._get(), _in(ticket), _in(digest), decision)

    @property
    def has_overlay(self):
        """Whether what its calls write into some directory is kept for changes(), commit() and discard()."""
        return bool(_function('sandbox_has_overlay')(self._get()))

    def inspect(self):
        text = _ptr()
        self._runtime._call('sandbox_inspect', self._get(), ctypes.byref(text))
        return json.loads(_take(text))

    def remove(self, force=False):
        """End a named sandbox for everybody."""
        self._runtime._call('sandbox_remove', self._get(), force)

    def start(self, command, **options):
        """Start a Command, or the words of one with its options, and wait until it executes."""
        return Call(self, 'sandbox_start', command, options)

    def start_async(self, command, **options):
        """The same without waiting: the Call is STARTING at first."""
        return Call(self, 'sandbox_start_async', command, options)

    @staticmethod
    def _captured(input, options):
        return {'stdin': NULL if input is None else PIPE, 'stdout': PIPE, 'stderr': PIPE, **options}

    def run(self, argv, input=None, **options):
        """A whole call: its Exit and what it printed."""
        with self.start(argv, **self._captured(input, options)) as call:
            out, err = call.communicate(input)
            return Completed(call.wait(), out, err)

    async def run_async(self, argv, input=None, **options):
        """The same for asyncio; cancelling the task kills the call."""
        with self.start_async(argv, **self._captured(input, options)) as call:
            out, err = await call.communicate_async(input)
            return Completed(await call.wait_async(), out, err)


class Call(_Owned):
    """From Sandbox.start() or start_async()."""
    FREE = 'sandbox_call_free'

    def __init__(self, box, how, command, options):
        self._files, self._input, self._output = {}, None, {}
        if isinstance(command, Command):
            if options:
                raise TypeError('give the options to the Command')
        else:
            command = Command(command, **options)
        pointer = _ptr()
        box.runtime._call(how, box._get(), command._get(), ctypes.byref(pointer))
        self._runtime, self._pointer, self._box = box.runtime, pointer, box
        self._command = command  # its descriptors are borrowed until the call has started

    @property
    def sandbox(self):
        return self._box

    @property
    def state(self):
        return State(self._runtime._ask('sandbox_call_state', self._get()))

    @property
    def error(self):
        """Why it is FAILED, else None."""
        with self._runtime._lock:
            pointer = _function('sandbox_call_error')(self._get())
            return _describe(pointer) if pointer else None

    @property
    def id(self):
        return _out(self._runtime._ask('sandbox_call_id', self._get()))

    @property
    def terminal(self):
        """Descriptor of the terminal, which stays the call's, or None."""
        descriptor = self._runtime._ask('sandbox_call_terminal', self._get())
        return descriptor if descriptor >= 0 else None

    def _file(self, which):
        if which not in self._files:
            descriptor = self._runtime._ask('sandbox_call_take_stdio', self._get(), which)
            self._files[which] = open(descriptor, 'rb' if which else 'wb') if descriptor >= 0 else None
        return self._files[which]

    @property
    def stdin(self):
        """Binary file to write to (flush() or close() it), or None without PIPE."""
        return self._file(0)

    @property
    def stdout(self):
        return self._file(1)

    @property
    def stderr(self):
        return self._file(2)

    def signal(self, number):
        self._runtime._call('sandbox_call_signal', self._get(), number)

    def cancel(self):
        """Kill every process of it, or give it up when it has not started yet."""
        self._runtime._call('sandbox_call_cancel', self._get())

    def revoke(self):
        """Take back what it was granted: when this returns nothing of it lives, and nothing that it had works."""
        self._runtime._call('sandbox_call_revoke', self._get())

    def close(self):
        for file in self._files.values():
            with contextlib.suppress(BrokenPipeError):
                if file:
                    file.close()
        super().close()

    # -- its end

    def _is_started(self):
        return self.state != State.STARTING

    def _is_over(self):
        return self.state in (State.ENDED, State.FAILED)

    def _exit(self):
        """After its end: how it ended, or the error that it failed with."""
        self._runtime._call('sandbox_call_wait', self._get(), 0)
        return Exit(self._runtime._ask('sandbox_call_exit_status', self._get()),
                    self._runtime._ask('sandbox_call_exit_signal', self._get()),
                    _out(self._runtime._ask('sandbox_call_reason', self._get())))

    def _too_late(self):
        return SandboxTimeout(errno.ETIMEDOUT, Stage.NONE, self.id, 'the call %s goes on' % self.id)

    def wait(self, timeout=None):
        """Wait for its end, at most so many seconds (then SandboxTimeout, and it goes on): its Exit."""
        if not self._runtime._until(self._is_over, _deadline(timeout)):
            raise self._too_late()
        return self._exit()

    def poll(self):
        """Its Exit, or None while it goes on."""
        return self._exit() if self._runtime._until(self._is_over, _deadline(0)) else None

    async def started_async(self):
        """Wait until its command executes, after start_async(); raises what start() would have raised."""
        await self._runtime._until_async(self._is_started)
        if self.state == State.FAILED:
            raise self.error

    async def wait_async(self):
        """Its Exit. Cancelling this leaves the call alone."""
        await self._runtime._until_async(self._is_over)
        return self._exit()

    def communicate(self, input=None, timeout=None):
        """Write the input, read stdout and stderr to their ends, wait: (stdout, stderr), None where there is no pipe.

        May be called again after SandboxTimeout; nothing is lost."""
        deadline = _deadline(timeout)
        if input and not self.stdin:
            raise ValueError('there is no pipe for the input')
        with selectors.DefaultSelector() as selector:
            if self.stdin and not self.stdin.closed:
                if self._input is None:
                    self._input = memoryview(input or b'')
                self.stdin.flush()
                os.set_blocking(self.stdin.fileno(), False)
                selector.register(self.stdin, selectors.EVENT_WRITE, 0)
            for which in (1, 2):
                if self._file(which):
                    self._output.setdefault(which, bytearray())
                    if not self._file(which).closed:
                        selector.register(self._file(which), selectors.EVENT_READ, which)
            open_files = len(selector.get_map())
            selector.register(self._runtime, selectors.EVENT_READ)
            while open_files:
                left = _left(deadline)
                if left == 0:
                    raise self._too_late()
                for key, _ in selector.select(left):
                    if key.fileobj is self._runtime:
                        self._runtime._take_in()
                    elif self._feed() if key.data == 0 else self._drain(key.data):
                        selector.unregister(key.fileobj)
                        self.stdin.close() if key.data == 0 else key.fileobj.close()
                        open_files -= 1
        self.wait(_left(deadline))
        return tuple(bytes(self._output[which]) if which in self._output else None for which in (1, 2))

    def _feed(self):
        """Write what fits; True when there is no more to write."""
        try:
            # Not through the file's buffer, which would lose count where the pipe is full.
            self._input = self._input[os.write(self.stdin.fileno(), self._input[:65536]):] if self._input else b''
        except BlockingIOError:
            return False
        except BrokenPipeError:
            return True
        return not self._input

    def _drain(self, which):
        """Read what is there; True at the end."""
        data = self._file(which).read1(65536)
        self._output[which] += data
        return not data

    async def communicate_async(self, input=None):
        """communicate() for asyncio."""
        loop = asyncio.get_running_loop()

        async def read(file):
            if not file:
                return None
            reader = asyncio.StreamReader()
            transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), file)
            try:
                return await reader.read()
            finally:
                transport.close()

        if input and not self.stdin:
            raise ValueError('there is no pipe for the input')
        if self.stdin:
            transport, _ = await loop.connect_write_pipe(asyncio.BaseProtocol, self.stdin)
            transport.write(input or b'')
            transport.write_eof()  # closes it when all is written, or when nobody reads
        out, err = await asyncio.gather(read(self.stdout), read(self.stderr))
        await self.wait_async()
        return out, err


class Piece(typing.NamedTuple):
    """stream 1 or 2, or 0 where output was dropped; id of the call; bytes."""
    stream: int
    call: str
    data: bytes


class Output(_Handle):
    """What calls with LOG printed in a named sandbox, from the start. Iterating gives what is there so far."""
    FREE = 'sandbox_output_free'

    def __init__(self, name):
        pointer = _ptr()
        _invoke('sandbox_output_open', _in(name), ctypes.byref(pointer))
        self._pointer = pointer

    def next(self):
        """The next Piece, or None when there is nothing more so far."""
        stream, call, data, length = _int(), _text(), _ptr(), _ulong()
        code = _function('sandbox_output_next')(self._get(), ctypes.byref(stream), ctypes.byref(call),
                                                ctypes.byref(data), ctypes.byref(length))
        if code < 0:
            raise SandboxError(-code)
        if code == 0:
            return None
        content = ctypes.string_at(data.value, length.value) if length.value else b''
        return Piece(stream.value, _out(call.value), content)

    def __iter__(self):
        return iter(self.next, None)
