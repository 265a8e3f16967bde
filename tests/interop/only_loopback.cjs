// Loaded into the command line before itself: nothing that a test runs leaves this machine. Any other address is
// refused at once, as by a machine where nothing listens.
const net = require('node:net')

const real = net.Socket.prototype.connect
const LOOPBACK = new Set(['127.0.0.1', '::1', 'localhost'])

net.Socket.prototype.connect = function connect(...args) {
  const options = Array.isArray(args[0]) ? args[0][0] : args[0]
  if (typeof options === 'object' && options !== null && !options.path && options.host && !LOOPBACK.has(options.host)) {
    options.host = '127.0.0.1'
    options.port = 1
  }
  return real.apply(this, args)
}
