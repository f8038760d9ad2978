"""An HTTP/2 server of tests, by h2, that does what a test says with each request: the service's rarer manners."""

import asyncio
import contextlib
import json

import h2.config
import h2.connection
import h2.events
import h2.settings


class ScriptedHttp2:
    """`async with ScriptedHttp2(tls, act, settings)`; `act(connection, stream)` is called with each whole request.

    `bodies` holds what arrived, (connection number, stream, bytes); `most` is the largest number of requests open at once.
    """

    def __init__(self, tls, act, settings=None):
        self._tls, self._act, self._settings = tls, act, settings or {}
        self.bodies, self.connections, self.most = [], [], 0

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]
        self._tasks = set()
        return self

    async def __aexit__(self, *_):
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader, writer):
        self._tasks.add(asyncio.current_task())
        connection = Connection(self, len(self.connections), writer)
        self.connections.append(connection)
        connection.h2.local_settings = h2.settings.Settings(client=False, initial_values=self._settings)
        connection.h2.initiate_connection()
        connection.flush()
        with contextlib.suppress(ConnectionError, asyncio.CancelledError):
            while data := await reader.read(65536):
                for event in connection.h2.receive_data(data):
                    connection.take(event)
                connection.flush()
        writer.transport.abort()

    def arrived(self, connection, stream, body):
        self.bodies.append((connection.number, stream, body))
        self._act(connection, stream)


class Connection:
    def __init__(self, server, number, writer):
        self.server, self.number, self.writer = server, number, writer
        self.open = {}
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="latin-1"))

    def take(self, event):
        match event:
            case h2.events.RequestReceived():
                self.open[event.stream_id] = b""
                self.server.most = max(self.server.most, len(self.open))
            case h2.events.DataReceived():
                self.open[event.stream_id] += event.data
                self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            case h2.events.StreamReset():
                self.open.pop(event.stream_id, None)
            case h2.events.StreamEnded():
                self.server.arrived(self, event.stream_id, self.open[event.stream_id])
            case _:
                pass

    def accept(self, stream, body=None):
        self.open.pop(stream, None)
        self.h2.send_headers(stream, [(":status", "200"), ("content-type", "application/json")])
        self.h2.send_data(stream, body or json.dumps({"name": f"m-{self.number}-{stream}"}).encode(), end_stream=True)
        self.flush()

    def refuse(self, stream):
        self.open.pop(stream, None)
        self.h2.reset_stream(stream, h2.errors.ErrorCodes.REFUSED_STREAM)
        self.flush()

    def raw(self, data):
        """Bytes past h2's state machine, which says goodbye only once and then nothing more."""
        self.flush()
        self.writer.write(data)

    def cut(self):
        self.writer.transport.abort()

    def flush(self):
        if not self.writer.is_closing():
            self.writer.write(self.h2.data_to_send())
