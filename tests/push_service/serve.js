// The push service of web-push-testing on a free port of its own choice; prints the port when it listens.
"use strict";
const { PushApiModel } = require("web-push-testing/src/PushApiModel");
const Service = require("web-push-testing/src/server");

const say = console.log;
console.log = () => {};
const model = new PushApiModel();
const service = new Service(model, 0);
service.startServer();
service._server.on("listening", () => {
  const { port } = service._server.address();
  model.notifyUrl = `http://localhost:${port}/notify/`;
  say(JSON.stringify({ port }));
});
