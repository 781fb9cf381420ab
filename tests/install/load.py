#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""load.py libquring.so quring.h: uses the shared library as a language without a C compiler does, and looks what it exports."""
import ctypes
import re
import subprocess
import sys
from ctypes import POINTER, byref, c_bool, c_char_p, c_int, c_int64, c_size_t, c_uint32, c_uint64, c_void_p, sizeof

FOREVER = 2**64 - 1
OK, INT8, TEXT = 0, 4, 8


class Bytes(ctypes.Structure):
    _fields_ = [("data", c_void_p), ("size_bytes", c_size_t)]


class Value(ctypes.Union):
    _fields_ = [("integer", c_int64), ("real", ctypes.c_double), ("uuid", ctypes.c_uint8 * 16), ("bytes", Bytes)]


class Param(ctypes.Structure):
    _fields_ = [("type", c_int), ("count", c_uint32), ("value", Value)]


class Query(ctypes.Structure):
    """Ends before members that the library may know besides: they are zero to it."""
    _fields_ = [("db", c_void_p), ("sql", c_char_p), ("statement", c_void_p), ("sql_bytes", c_size_t),
                ("params", POINTER(Param)), ("param_count", c_uint32), ("user_data", c_uint64),
                ("timeout_ns", c_uint64), ("commit", c_int)]


class Done(ctypes.Structure):
    _fields_ = [("id", c_uint64), ("user_data", c_uint64), ("status", c_int), ("result", c_void_p),
                ("error", c_void_p), ("sent", c_bool)]


SIGNATURES = {  # the result, then the parameters, as in quring.h
    "quring_version": (c_char_p,),
    "quring_strerror": (c_char_p, c_int),
    "quring_status_name": (c_char_p, c_int),
    "quring_engine_open_sized": (c_int, c_void_p, c_size_t, POINTER(c_void_p)),
    "quring_engine_close": (None, c_void_p),
    "quring_db_open_sized": (c_int, c_void_p, c_char_p, c_void_p, c_size_t, POINTER(c_void_p)),
    "quring_int64": (Param, c_int64),
    "quring_text": (Param, c_char_p),
    "quring_submit_sized": (c_int, c_void_p, POINTER(Query), c_size_t, POINTER(c_uint64)),
    "quring_run": (c_int, c_void_p, c_uint32, c_uint64),
    "quring_reap_sized": (c_int, c_void_p, POINTER(Done), c_size_t, c_uint32),
    "quring_row_count": (c_uint64, c_void_p),
    "quring_column_name": (c_char_p, c_void_p, c_uint32),
    "quring_get_int64": (c_int, c_void_p, c_uint64, c_uint32, POINTER(c_int64)),
    "quring_get_text": (c_int, c_void_p, c_uint64, c_uint32, POINTER(c_char_p), POINTER(c_size_t)),
    "quring_release": (c_int, c_void_p, c_uint64),
}


def load(path):
    library = ctypes.CDLL(path)
    for name, (result, *parameters) in SIGNATURES.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, parameters
    return library


def check(what, got, wanted):
    if got != wanted:
        sys.exit(f"{what}: {got!r} and not {wanted!r}")


def query_a_row(library):
    """One query with two parameters on SQLite in memory, from open to close."""
    engine, db, query_id = c_void_p(), c_void_p(), c_uint64()
    check("quring_engine_open_sized", library.quring_engine_open_sized(None, 0, byref(engine)), 0)
    check("quring_db_open_sized", library.quring_db_open_sized(engine, b"sqlite://", None, 0, byref(db)), 0)
    word = "naïve".encode()  # the parameter keeps the pointer alone
    params = (Param * 2)(library.quring_int64(-2**62), library.quring_text(word))
    check("the type of quring_int64()", params[0].type, INT8)
    check("the type of quring_text()", params[1].type, TEXT)
    query = Query(db=db, sql=b"select $1 - 1 as number, $2 || '!' as word", params=params, param_count=2, user_data=42)
    check("quring_submit_sized", library.quring_submit_sized(engine, query, sizeof(query), byref(query_id)), 0)
    check("quring_run", library.quring_run(engine, 1, FOREVER), 1)

    done = Done()
    check("quring_reap_sized", library.quring_reap_sized(engine, done, sizeof(done), 1), 1)
    check("status", library.quring_status_name(done.status), b"OK")
    check("user_data", done.user_data, 42)
    check("id", done.id, query_id.value)
    check("error", done.error, None)
    check("rows", library.quring_row_count(done.result), 1)
    check("the second column", library.quring_column_name(done.result, 1), b"word")
    number, text, size = c_int64(), c_char_p(), c_size_t()
    check("quring_get_int64", library.quring_get_int64(done.result, 0, 0, byref(number)), 0)
    check("the number", number.value, -2**62 - 1)
    check("quring_get_text", library.quring_get_text(done.result, 0, 1, byref(text), byref(size)), 0)
    check("the text", (text.value.decode(), size.value), ("naïve!", 7))
    check("quring_release", library.quring_release(engine, done.id), 0)
    library.quring_engine_close(engine)


def declared(header):
    """The functions that the public header declares and does not define itself."""
    text = re.sub(r"/\*.*?\*/", "", header, flags=re.S)
    text = re.sub(r"^[ \t]*#(?:[^\n]*\\\n)*[^\n]*", "", text, flags=re.M)
    text = re.sub(r"^static inline [^{]*\{.*?^\}", "", text, flags=re.S | re.M)
    return set(re.findall(r"^\w[^;{}=]*?\b(\w+)\([^;{}]*\);", text, re.M))


def exported(path):
    lines = subprocess.run(["nm", "-D", "--defined-only", path], check=True, capture_output=True, text=True).stdout
    return {line.split(maxsplit=2)[2] for line in lines.splitlines()}


def main():
    path, header = sys.argv[1:]
    with open(header, encoding="utf-8") as file:
        text = file.read()
    functions = declared(text)
    symbols = exported(path)
    if len(functions) < 60:
        sys.exit(f"only {len(functions)} functions are found in {header}")
    check("declared and not exported", sorted(functions - symbols), [])
    check("exported and not declared", sorted(symbols - functions), [])
    library = load(path)
    version = ".".join(re.findall(r"^#define QURING_VERSION_(?:MAJOR|MINOR|PATCH)\s+(\d+)", text, re.M))
    check("version", library.quring_version().decode(), version)
    query_a_row(library)
    print(f"{path}: {len(symbols)} functions, and no other symbol")


if __name__ == "__main__":
    main()
