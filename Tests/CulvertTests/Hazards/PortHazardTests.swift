// SPDX-License-Identifier: Apache-2.0
// Ports that run out: in a network of its own, which needs a privilege.
#if os(Linux)
  import CCulvert
  import CulvertTesting
  import Foundation
  import Testing

  @testable import Culvert

  @Suite(.timeLimit(watchdog)) struct PortHazardTests {
    /// Gives the calling thread a network with nothing but a loopback interface, and 100 ports for whoever asks for any.
    private static func enterSmallNetwork() throws {
      let unshare = try cFunction("unshare", as: (@convention(c) (Int32) -> Int32).self)
      try #require(unshare(0x4000_0000) == 0)  // CLONE_NEWNET
      // "ifreq": the interface's name, then its flags.
      var request = Array("lo".utf8) + [UInt8](repeating: 0, count: 38)
      request[16] = UInt8(IFF_UP)
      let socket = culvert_socket(AF_INET, culvert_sock_dgram())
      defer { close(socket) }
      try #require(unsafe ioctl(socket, UInt(SIOCSIFFLAGS), &request) == 0)
      let range = "/proc/sys/net/ipv4/ip_local_port_range"
      try "40000 40099".write(toFile: range, atomically: false, encoding: .utf8)
    }

    /// How many of 100 connections to each of two addresses can be made at a time, all from one address.
    private static func connections(withOption: Bool) async throws -> Int {
      let listeners = try await [
        TcpListener.bind("127.0.0.2:7000"), TcpListener.bind("127.0.0.3:7000"),
      ]
      return await withTaskGroup(of: TcpStream?.self) { group in
        for number in 0..<200 {
          group.addTask {
            guard let socket = try? TcpSocket(.ipv4) else { return nil }
            if withOption { try? socket.set(.bindAddressNoPort, to: true) }
            do {
              try socket.bind(to: "127.0.0.1:0")
              return try await socket.connect(to: listeners[number % 2].localAddress)
            } catch {
              return nil
            }
          }
        }
        var made: [TcpStream] = []
        for await stream in group { if let stream { made.append(stream) } }
        for stream in made { stream.reset() }
        return made.count
      }
    }

    @Test(.enabled(if: geteuid() == 0, "needs a privilege"))
    func `hazard 39: one address of ours has its ports for each destination anew, if connect chooses them`()
      async
    {
      await #expect(processExitsWith: .success) {
        setWatchdog()
        // The worker's thread makes all sockets.
        try await onOneWorker { _ in
          try Self.enterSmallNetwork()
          #expect(try await Self.connections(withOption: true) == 200)
          let without = try await Self.connections(withOption: false)
          #expect(without <= 100)
        }
      }
    }
  }
#endif
